"""COCO's panoptic results (https://cocodataset.org/#format-results): a json of segments, PNG files with their ids."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import DataError, RunError
from vf.prediction_files import aside
from vf.protocols import DatasetInfo, Predicted

VOID = 0


def png_of(id_: str) -> str:
    """Return the name of the PNG of an image: its own, with other slashes."""
    return posixpath.splitext(id_)[0].replace("/", "_") + ".png"


class PanopticFiles:
    """A context that takes images one by one, and writes PREFIX.panoptic.json at its end.

    Args:
        prefix: beginning of the names; the PNG files go to the folder PREFIX.panoptic.
        info: of the model, with the ids of its classes and stuff in the data's files.
        name_of: id of an image -> name of its PNG.
    """

    def __init__(self, prefix: str, info: DatasetInfo, name_of: Callable[[str], str] = png_of) -> None:
        self._json, self._folder = Path(f"{prefix}.panoptic.json"), Path(f"{prefix}.panoptic")
        self._info, self._name_of = info, name_of
        self._annotations: list[str] = []

    @property
    def written(self) -> tuple[str, str]:
        """The json and the folder."""
        return str(self._json), str(self._folder)

    def __enter__(self) -> PanopticFiles:
        fresh_folder(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            with aside(self._json) as fresh:
                fresh.write_text('{"annotations": [\n' + ",\n".join(self._annotations) + "\n]}\n", encoding="utf-8")

    def add(self, one: Predicted, id_: int | str) -> None:
        """Write the PNG of an image, and keep what the json says of it, some hundred bytes."""
        prediction: dict[str, Any] = one.prediction
        ids = _map(prediction, one)
        known = len(self._info.classes) + len(self._info.stuff)
        segments = []
        for segment in prediction["segments"]:
            label = int(segment["category"])
            if not 0 <= label < known:
                raise DataError(
                    f"image {one.id!r}: segment {segment['id']} has category {label}, expected under {known}"
                )
            category = self._info.category_ids[label] if self._info.category_ids else label + 1
            if category < 0:
                ids[ids == segment["id"]] = VOID
            else:
                segments.append({"id": int(segment["id"]), "category_id": category})
        name = self._name_of(one.id)
        write_png(self._folder / name, np.stack([ids >> 16, ids >> 8 & 255, ids & 255], -1).astype(np.uint8))
        entry = {"image_id": id_, "file_name": name, "segments_info": segments}
        self._annotations.append(json.dumps(entry, ensure_ascii=False))


def _map(prediction: dict[str, Any], one: Predicted) -> NDArray[np.int64]:
    given = prediction["panoptic"]
    ids: NDArray[np.int64] = np.asarray(given.cpu().numpy() if isinstance(given, Tensor) else given).astype(np.int64)
    if ids.size and not 0 <= ids.min() <= ids.max() < 1 << 24:
        raise DataError(
            f"image {one.id!r}: segment ids must be from 0 to {(1 << 24) - 1}, got {ids.min()}, {ids.max()}"
        )
    return ids


def fresh_folder(folder: Path) -> None:
    """Make a folder; RunError where there are files in it: nothing would tell old results from new ones."""
    if folder.is_dir() and any(folder.iterdir()):
        raise RunError(f"{folder}: exists and is not empty; choose another --out-prefix")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot be made: {error.strerror}") from None


def write_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a PNG of [H,W] or, channels in OpenCV's order, [H,W,3]."""
    try:
        path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
