"""Predicted maps as PNG files with the values of the data set's own: what servers and evaluation scripts take."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vf.data.follow import IGNORE
from vf.errors import DataError, RunError
from vf.protocols import DatasetInfo, Predicted
from vf_seg.data.names import VOC_COLOURS

if TYPE_CHECKING:
    from vf.protocols import Prediction


class MapResults:
    """PREFIX is a folder; the map of an image lies there under the image's name. See `vf.protocols.Results`.

    Args:
        flat: without the folders of the images' names.
        drop: end of the images' names, without their ending, that maps have not.
        add: what comes in its place.
        indices: class indices are written, and not the values of the data's own maps.
        colours: the data's own values are packed colours.
        palette: with VOC's palette, the values being indices.
    """

    def __init__(
        self,
        *,
        flat: bool = False,
        drop: str = "",
        add: str = "",
        indices: bool = False,
        colours: bool = False,
        palette: bool = False,
    ) -> None:
        self._flat = flat
        self._ends = (drop, add)
        self._indices = indices
        self._colours = colours
        self._palette = palette

    def restore(self, prediction: dict[str, Any], size: tuple[int, int]) -> Prediction:
        """Return the prediction; DataError where its map is not of the image's ``size``."""
        semantic = prediction.get("semantic")
        shape = tuple(getattr(semantic, "shape", ()))
        if semantic is not None and shape != size:
            raise DataError(
                f"semantic: expected a map of the image, {size[0]}×{size[1]} (height × width), got "
                f"{'×'.join(map(str, shape)) or type(semantic).__name__}"
            )
        return prediction

    def write(self, predicted: Iterable[Predicted], prefix: str, info: DatasetInfo) -> Sequence[str]:
        """Write the folder ``prefix``; DataError where there are no maps, RunError where it is not empty."""
        folder = Path(prefix)
        if folder.is_dir() and any(folder.iterdir()):
            raise RunError(f"{folder}: exists and is not empty; choose another --out-prefix")
        table = self._table(info)
        written: dict[str, str] = {}
        for one in predicted:
            semantic: Any = one.prediction.get("semantic")
            if semantic is None:
                raise DataError(
                    f"--out-prefix {prefix}: these are files of label maps, the model gives "
                    f"{', '.join(one.prediction)}; use a model of task seg"
                )
            name = self.name_of(one.id)
            if name in written:
                raise DataError(f"images {written[name]!r} and {one.id!r} would both be written to {folder / name}")
            written[name] = one.id
            self._save(folder / name, table[np.asarray(semantic)])
        return [str(folder)]

    def name_of(self, id_: str) -> str:
        """Return the name of the map of an image."""
        stem = posixpath.splitext(posixpath.basename(id_) if self._flat else id_)[0]
        drop, add = self._ends
        parts = [part for part in f"{stem.removesuffix(drop)}{add}.png".split("/") if part not in ("", "..")]
        return "/".join(parts)

    def _table(self, info: DatasetInfo) -> NDArray[np.int64]:
        """[256] what is written for each class index; classes that the data does not know are ignored there, too."""
        table = np.full(max(256, len(info.classes) + 1), 0 if self._colours else IGNORE, np.int64)
        ids = list(range(len(info.classes)))
        if info.category_ids and not self._indices:
            ids = [id_ if id_ >= 0 else int(table[-1]) for id_ in info.category_ids[: len(ids)]]
        table[: len(ids)] = ids
        return table

    def _save(self, path: Path, values: NDArray[np.int64]) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._palette:
                image = Image.fromarray(values.astype(np.uint8))
                image.putpalette([part for colour in VOC_COLOURS for part in colour])
                image.save(path)
                return
            if self._colours:
                pixels = np.stack([values & 255, values >> 8 & 255, values >> 16], -1).astype(np.uint8)
            else:
                pixels = values.astype(np.uint8 if values.max(initial=0) < 256 else np.uint16)
            path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
        except OSError as error:
            raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
