"""A TensorBoard folder of a callback's own, in the run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vf.engine.state import State

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Board:
    """Opens the writer when something is written, so that a run that fails at once leaves no folder behind.

    The folder is a run of its own in TensorBoard, which reads one growing file in a folder, not two.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._writer: SummaryWriter | None = None

    def writer(self, state: State) -> SummaryWriter:
        """Return the writer; what a run that is gone on with wrote from this step on is forgotten."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(state.folder / self._name), purge_step=state.step)
        return self._writer

    def close(self) -> None:
        """Write what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
