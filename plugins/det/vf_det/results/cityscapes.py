"""What Cityscapes' server and cityscapesscripts take: a text for each image, and a PNG for each of its objects.

PREFIX is a folder. In STEM_pred.txt each line is ``PNG LABEL SCORE``: a picture in the same folder whose pixels are not
0 on the object, the id of its class (24: person …), and how sure the model is. Where nothing is found the text is
empty. Panoptic predictions go to PREFIX/pred.panoptic.json and the folder PREFIX/pred.panoptic.
"""

from __future__ import annotations

import contextlib
import itertools
import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vf.errors import DataError
from vf.prediction_files import aside
from vf.protocols import DatasetInfo, Predicted
from vf_det.masks import Masks
from vf_det.results.coco import category_id, restored
from vf_det.results.panoptic import PanopticFiles, fresh_folder, write_png

if TYPE_CHECKING:
    from vf.protocols import Prediction

SUFFIX = "_leftImg8bit"


class CityscapesResults:
    """See `vf.protocols.Results`."""

    def restore(self, prediction: dict[str, Any], size: tuple[int, int]) -> Prediction:
        """Make run lengths masks again; DataError where they are none of an image of ``size``."""
        return restored(prediction, size)

    def write(self, predicted: Iterable[Predicted], prefix: str, info: DatasetInfo) -> Sequence[str]:
        """Write the folder ``prefix``; DataError where there are no masks."""
        images = iter(predicted)
        first = next(images, None)
        has: dict[str, Any] = first.prediction if first is not None else {"masks": ()}
        if "masks" not in has and "panoptic" not in has:
            raise DataError(
                f"--out-prefix {prefix}: Cityscapes takes masks, the model gives {', '.join(has)}; use one with masks"
            )
        folder = Path(prefix)
        fresh_folder(folder)
        with contextlib.ExitStack() as stack:
            files = PanopticFiles(str(folder / "pred"), info, lambda id_: f"{_stem(id_)}_pred_panoptic.png")
            panoptic = stack.enter_context(files) if "panoptic" in has else None
            for one in itertools.chain([first] if first else [], images):
                if "masks" in has:
                    _write_image(folder, one, info)
                if panoptic is not None:
                    panoptic.add(one, _stem(one.id).removesuffix(SUFFIX))
        return [str(folder)]


def _stem(id_: str) -> str:
    return posixpath.splitext(posixpath.basename(id_))[0]


def _write_image(folder: Path, one: Predicted, info: DatasetInfo) -> None:
    prediction: dict[str, Any] = one.prediction
    masks, stem, lines = prediction["masks"], _stem(one.id), []
    for i, (score, label) in enumerate(zip(prediction["scores"].tolist(), prediction["labels"].tolist(), strict=True)):
        category = category_id(label, info)
        if category < 0:
            continue
        mask = masks[i].dense()[0] if isinstance(masks, Masks) else masks[i]
        name = f"{stem}_{i}_{info.classes[label].replace(' ', '-')}.png"
        write_png(folder / name, mask.cpu().numpy().astype(np.uint8) * 255)
        lines.append(f"{name} {category} {score:.9g}\n")
    with aside(folder / f"{stem}_pred.txt") as fresh:
        fresh.write_text("".join(lines), encoding="utf-8")
