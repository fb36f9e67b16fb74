"""Large images seen tile by tile: where the tiles lie, and how what is found in them becomes one prediction."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.errors import ConfigError, listed
from vf.placed_masks import PlacedMasks
from vf.plain_results import OF_OBJECTS, around

SAME = 0.5
"""From this overlap on two boxes of a class mean one object: intersection by union; of a box that the border of a tile
cuts, by its own area."""
NEAR = 0.04
"""Part of a tile's side from its border within which a box counts as cut by it."""
MERGES = ("nms", "nmm")


@attrs.frozen(kw_only=True)
class Tiling:
    """Squares of an image, each seen by itself, and the image as a whole before them.

    ConfigError where a value is out of its range.
    """

    size: int
    """Side of a tile, px of the image."""
    overlap: float = 0.2
    """Part of a tile that the next one sees too."""
    merge: str = "nms"
    """``nms``: of several that mean one object the surest stays; ``nmm``: they are united."""

    def __attrs_post_init__(self) -> None:
        if self.size < 1:
            raise ConfigError(f"--tile {self.size}: expected a side of at least 1 pixel")
        if not 0 <= self.overlap < 1:
            raise ConfigError(f"--overlap {self.overlap:g}: expected a part of a tile, 0 to under 1")
        if self.merge not in MERGES:
            raise ConfigError(f"--tile-merge {self.merge}: expected one of {', '.join(MERGES)}")

    def corners(self, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
        """Return left, top, right and lower edge of each tile of an image (height, width); none where one holds it."""
        if max(size) <= self.size:
            return []
        rows, columns = (self._starts(side) for side in size)
        high, wide = (min(self.size, side) for side in size)
        return [(x, y, x + wide, y + high) for y in rows for x in columns]

    def _starts(self, side: int) -> list[int]:
        last = max(0, side - self.size)
        step = max(1, round(self.size * (1 - self.overlap)))
        return [*range(0, last, step), last]  # the last tile ends where the image does

    def cut(self, sample: Sample) -> tuple[Sample, ...]:
        """Return the image, and its tiles where it is larger than one."""
        tiles = (sample.image[:, y1:y2, x1:x2] for x1, y1, x2, y2 in self.corners(sample.size))
        return (sample, *(attrs.evolve(sample, image=tile.as_subclass(tv_tensors.Image)) for tile in tiles))

    def joined(self, sample: Sample, predictions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make one prediction of those of the image and its tiles, in pixels of the image.

        Raises:
            ConfigError: the model does not find objects, or finds texts, which cannot be united.
        """
        self._check(predictions[0])
        if len(predictions) == 1:
            return dict(predictions[0])
        height, width = sample.size
        places = [(0, 0, width, height), *self.corners(sample.size)]
        moved = [_moved(said, place, sample.size) for said, place in zip(predictions, places, strict=True)]
        every = {key: _chained([said[key] for said in moved]) for key in moved[0]}
        boxes = every["boxes"] if "polygons" not in every else around(every["polygons"])
        cut = torch.cat([_cut(said, place, sample.size) for said, place in zip(moved, places, strict=True)])
        labels = every.get("labels", torch.zeros(len(boxes), dtype=torch.int64))
        groups = _grouped(boxes, every["scores"], labels, cut)
        return _merged(every, groups, unite=self.merge == "nmm")

    def _check(self, prediction: Mapping[str, Any]) -> None:
        if not ({"boxes", "polygons"} & set(prediction) and "scores" in prediction) or "segments" in prediction:
            raise ConfigError(
                f"--tile: is for models that find objects, and this one gives {listed(prediction)}; leave it out (a "
                "segmenter has a sliding window of its own: 'vf explain model' of its name tells the key)"
            )
        if self.merge == "nmm" and "polygons" in prediction:
            raise ConfigError("--tile-merge nmm: outlines of texts cannot be united; take nms")


def _moved(said: Mapping[str, Any], place: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, Any]:
    """Return what was said of a tile in pixels of the image; only what has a row for each object."""
    x, y = place[:2]
    out: dict[str, Any] = {}
    for key in OF_OBJECTS:
        value = said.get(key)
        if value is None:
            continue
        if key == "boxes":
            value = value + value.new_tensor([x, y, x, y])
        elif key in ("polygons", "keypoints"):
            value = torch.cat([value[..., :2] + value.new_tensor([x, y]), value[..., 2:]], -1)
        elif key == "masks":
            value = PlacedMasks.of(value, (y, x), size)
        out[key] = value
    return out


def _cut(said: Mapping[str, Any], place: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """Whether the border of a tile, not that of the image, cuts each object, bool [N]."""
    boxes = around(said["polygons"]) if "polygons" in said else said["boxes"]
    height, width = size
    near = torch.zeros(len(boxes), dtype=torch.bool)
    margin = NEAR * max(place[2] - place[0], place[3] - place[1])
    for axis, (edge, end) in enumerate(zip(place, (0, 0, width, height), strict=True)):
        if edge != end:
            near |= (boxes[:, axis] - edge).abs() <= margin
    return near


def _chained(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(list(values))
    return functools.reduce(lambda left, right: left + right, (v if hasattr(v, "dense") else list(v) for v in values))


def _grouped(boxes: Tensor, scores: Tensor, labels: Tensor, cut: Tensor) -> list[list[int]]:
    """Return which boxes mean one object: the one that stays before those that it takes in.

    Boxes that no tile cuts come before those that one does, which lie in them.
    """
    order = torch.argsort(cut.float() * 2 - scores, stable=True)
    boxes, labels, cut = boxes[order].double(), labels[order], cut[order]
    area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    free = torch.ones(len(boxes), dtype=torch.bool)
    groups: list[list[int]] = []
    for i in range(len(boxes)):
        if not free[i]:
            continue
        corner, end = boxes[:, :2].maximum(boxes[i, :2]), boxes[:, 2:].minimum(boxes[i, 2:])
        shared = (end - corner).clamp(min=0).prod(1)
        same = shared >= SAME * (area + area[i] - shared).clamp(min=1e-9)
        same |= cut & (shared >= SAME * area.clamp(min=1e-9))
        taken = same & free & (labels == labels[i])
        taken[i] = False
        free &= ~taken
        free[i] = False
        groups.append([int(order[i]), *order[taken].tolist()])
    return groups


def _merged(every: Mapping[str, Any], groups: Sequence[Sequence[int]], *, unite: bool) -> dict[str, Any]:
    scores = every["scores"]
    groups = sorted(groups, key=lambda group: -float(scores[list(group)].max() if unite else scores[group[0]]))
    first = torch.tensor([group[0] for group in groups], dtype=torch.int64)
    out: dict[str, Any] = {}
    for key, value in every.items():
        out[key] = [value[i] for i in first.tolist()] if isinstance(value, list) else value[first]
    if unite:
        rows = [torch.tensor(list(group)) for group in groups]
        boxes = every["boxes"]
        if rows:
            out["boxes"] = torch.stack([torch.cat([boxes[r, :2].amin(0), boxes[r, 2:].amax(0)]) for r in rows])
            out["scores"] = torch.stack([scores[r].max() for r in rows])
        if "masks" in every:
            out["masks"] = every["masks"].united([r.tolist() for r in rows])
    return out
