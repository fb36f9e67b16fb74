"""Pictures of a test: what the model said of an image beside its labels, in a folder or in a window."""

from __future__ import annotations

import os
import posixpath
import sys
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from PIL.Image import Image as Picture
from torch import Tensor

from vf import pictures
from vf.errors import RunError, SetupError
from vf.explained import laid_over
from vf.launch import Measurement
from vf.protocols import Dataset, DatasetInfo, Predicted
from vf.world import find_world

WINDOW = "vf run test: labels, predictions (q: no more)"
LEAVE = (ord("q"), 27)
"""Keys that close the window for good: q and Escape."""


def prepare(asked: Measurement) -> None:
    """Refuse pictures that could not be shown or saved.

    Raises:
        RunError: the folder holds something, or many processes would open windows.
        SetupError: there is no display, or no OpenCV that has windows.
    """
    folder = Path(asked.show_dir)
    if asked.show_dir and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunError(f"--show-dir {folder}: exists and is not an empty folder; choose another")
    if not asked.show:
        return
    if find_world().size > 1:
        raise RunError("--show: opens windows of one process; leave --nproc out, or use --show-dir DIR")
    need_windows("--show-dir DIR")


def need_windows(instead: str) -> None:
    """Refuse --show where no window can be opened; ``instead`` is an option that does without. SetupError."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise SetupError(f"--show: there is no display here (DISPLAY is not set); use {instead}")
    if not has_windows():
        raise SetupError(f"--show: this OpenCV is built without windows; pip install opencv-python, or use {instead}")


def has_windows() -> bool:
    """Whether OpenCV can open one."""
    lines = [line.split() for line in cv2.getBuildInformation().splitlines()]
    return ["GUI:", "NONE"] not in lines


class Shown:
    """Draws every so many images of a split.

    Args:
        asked: where to, how many, and from which score on.
        dataset: the split; its images are decoded again, only for these pictures.
        info: of the model.
        labelled: draw the labels too, at the left.
    """

    def __init__(self, asked: Measurement, dataset: Dataset, info: DatasetInfo, *, labelled: bool) -> None:
        self._asked, self._dataset, self._info, self._labelled = asked, dataset, info, labelled
        self._show = asked.show
        self.count = 0
        """Pictures drawn."""

    def wants(self, place: int) -> bool:
        """Whether it is the turn of the image at ``place`` to be drawn."""
        return bool(self._asked.show_dir or self._show) and place % self._asked.interval == 0

    def take(self, place: int, predicted: Predicted, heat: Tensor | None = None) -> None:
        """Draw the image at ``place``, where it is its turn, and with ``heat`` [H,W] a third picture."""
        if not self.wants(place):
            return
        picture = self._drawn(place, predicted, heat)
        self.count += 1
        if self._asked.show_dir:
            save(picture, Path(self._asked.show_dir) / safe_name(predicted.id))
        if self._show:
            self._show = self._in_window(picture)

    def _drawn(self, place: int, predicted: Predicted, heat: Tensor | None) -> Picture:
        sample, info = self._dataset[place], self._info
        found = pictures.draw(
            sample.image,
            predicted.prediction,
            info.classes,
            threshold=self._asked.show_score_thr,
            palette=info.palette,
        )
        if heat is not None:
            found = pictures.beside(found, laid_over(sample.image, heat).resize(found.size))
        if not self._labelled:
            return found
        return pictures.beside(pictures.draw(sample.image, sample.target, info.classes, palette=info.palette), found)

    def _in_window(self, picture: Picture) -> bool:
        """Show a picture; whether to go on."""
        return in_window(picture, WINDOW, self._asked.wait_time)


def in_window(picture: Picture, title: str, seconds: float) -> bool:
    """Show a picture for some seconds, or with 0 until a key is pressed; whether to go on."""
    cv2.imshow(title, np.asarray(picture)[..., ::-1])
    # 0 waits for a key, without end.
    go_on = cv2.waitKey(round(1000 * seconds)) & 0xFF not in LEAVE
    if not go_on:
        cv2.destroyAllWindows()
    return go_on


def safe_name(id_: str) -> PurePosixPath:
    """Return an id as a path that stays below the folder that it is joined to."""
    parts = [part for part in posixpath.normpath(id_.replace("\\", "/")).split("/") if part not in ("", ".", "..")]
    return PurePosixPath(*(parts or ["image"]))


def save(picture: Picture, path: Path) -> None:
    """Save as JPEG; a.png becomes a.png.jpg, because an a.jpg may lie beside it. RunError where the disk refuses."""
    name = path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.name}.jpg"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path.with_name(name), quality=92)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
