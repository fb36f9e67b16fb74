"""A TensorBoard folder of a callback's own, in the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vf.engine.growing import Events
from vf.engine.state import State

if TYPE_CHECKING:
    from PIL.Image import Image


class Board:
    """Makes the folder when something is written, so that a run that fails at once leaves none behind.

    The folder is a run of its own in TensorBoard, which reads one growing file in a folder, not two. What a full disk
    refuses is written when there is room again.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._events: Events | None = None

    def add(self, values: Mapping[str, float], state: State) -> None:
        """Add points of curves at this step."""
        self._opened(state).add(values, state.step)
        self._tell(state)

    def add_image(self, tag: str, image: Image, state: State) -> None:
        """Add a picture at this step."""
        self._opened(state).add_image(tag, image, state.step)
        self._tell(state)

    def _opened(self, state: State) -> Events:
        """Return the file; what a run that is gone on with wrote from this step on is forgotten."""
        if self._events is None:
            folder = state.folder / self._name
            folder.mkdir(exist_ok=True)
            self._events = Events(folder, purge_from=state.step)
            self._said = False
        return self._events

    def _tell(self, state: State) -> None:
        assert self._events is not None
        file = self._events.file
        if file.said and not self._said:
            state.say(f"warning: {file.path}: {file.said}; what is logged waits until there is room")
        self._said = bool(file.said)
