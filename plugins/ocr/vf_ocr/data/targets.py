"""The target of a page: what every data set of pages gives, and every transform of pages keeps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from vf_ocr.texts import Texts


def page_target(polygons: Tensor, texts: Texts, ignored: Tensor, *, size: tuple[int, int]) -> dict[str, Any]:
    """Make the target of a page with N texts.

    Args:
        polygons: float32 [N,K,2] px, clockwise from the upper left of the text; those with fewer vertices repeat
            their last one.
        texts: N transcriptions.
        ignored: bool [N], texts that nobody can read.
        size: height and width of the image.

    Returns:
        ``polygons`` KeyPoints, ``boxes`` around them, cut at the image's edge, ``labels`` (zeros), ``ignored``,
        ``texts``. What lies wholly outside of the image is left out.
    """
    height, width = size
    limit = polygons.new_tensor([width, height])
    if not len(polygons):
        boxes = polygons.new_zeros(0, 4)
    else:
        boxes = torch.cat([polygons.amin(1).clamp(min=0), polygons.amax(1).minimum(limit)], 1)
    keep = (boxes[:, 2:] > boxes[:, :2]).all(1)
    if not bool(keep.all()):
        polygons, boxes, texts, ignored = polygons[keep], boxes[keep], texts[keep], ignored[keep]
    return {
        "boxes": tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size),
        "labels": torch.zeros(len(boxes), dtype=torch.int64),
        "polygons": tv_tensors.KeyPoints(polygons, canvas_size=size),
        "ignored": ignored,
        "texts": texts,
    }
