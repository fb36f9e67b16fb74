"""Masks of one image as run lengths, in COCO's form (pycocotools), and how they lie in flat annotations."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco
from torch import Tensor

from vf.errors import DataError

Rle = dict[str, Any]
"""COCO's compressed run lengths: ``size`` [height, width], ``counts`` bytes."""
Polygons = Sequence[Sequence[float]]
"""Outlines x1, y1, x2, y2, … that make up one object."""


class Masks:
    """N masks of one size, as compressed run lengths: some hundred bytes each, however large the image.

    Args:
        counts: one of COCO's compressed strings for each mask.
        size: height and width, px.
    """

    follows_boxes: ClassVar = True
    """Rows are dropped with those of the boxes (`vf.data.follow.select_rows`)."""

    def __init__(self, counts: Iterable[bytes], size: tuple[int, int]) -> None:
        self._counts = tuple(counts)
        self.size = size

    @classmethod
    def from_dense(cls, masks: Tensor) -> Masks:
        """Encode bool (or 0 and 1) [N,H,W]."""
        count, height, width = masks.shape
        if not (count and height and width):
            return cls([b""] * count, (height, width))
        flat = masks.detach().cpu().as_subclass(Tensor).to(torch.uint8).numpy()
        # One at a time: pycocotools wants columns first, and all of them so would be a second copy.
        rles = [coco.encode(np.asfortranarray(mask)) for mask in flat]
        return cls([rle["counts"] for rle in rles], (height, width))

    @classmethod
    def from_polygons(cls, polygons: Sequence[Polygons], size: tuple[int, int]) -> Masks:
        """Rasterise outlines as COCO does; those of one object are joined, one of under 3 points is nothing."""
        rings = [[ring for ring in one if len(ring) >= 6] for one in polygons]
        return cls(_rasterised(rings, size), size)

    @classmethod
    def from_rles(cls, rles: Sequence[Rle], size: tuple[int, int]) -> Masks:
        """Take COCO's run lengths, compressed (str or bytes) or not (a list); all are of one size."""
        height, width = size
        counts = []
        for rle in rles:
            assert tuple(rle["size"]) == tuple(size), f"size {rle['size']}, expected {size}"
            value = rle["counts"]
            if isinstance(value, list):
                value = coco.frPyObjects({"size": [height, width], "counts": value}, height, width)["counts"]
            counts.append(value.encode() if isinstance(value, str) else value)
        return cls(counts, size)

    @classmethod
    def unpack(cls, packed: Sequence[bytes], size: tuple[int, int]) -> Masks:
        """Undo :func:`pack` for the objects of an image of ``size``; DataError where its masks have another one."""
        counts: list[bytes] = [b""] * len(packed)
        rings, places = [], []
        for place, data in enumerate(packed):
            if data[:1] == b"R":
                own = struct.unpack_from("<II", data, 1)
                if own != size:
                    raise DataError(
                        f"its masks are {own[0]}×{own[1]} (height × width), the image is {size[0]}×{size[1]} as it is "
                        "shown, upright; make the masks for that"
                    )
                counts[place] = data[9:]
            else:
                places.append(place)
                rings.append(_unpacked_rings(data))
        for place, value in zip(places, _rasterised(rings, size), strict=True):
            counts[place] = value
        return cls(counts, size)

    def __len__(self) -> int:
        return len(self._counts)

    def __getitem__(self, key: int | slice | Tensor) -> Masks:
        """Return some of the masks: one, a slice, those that a bool [N] chooses, or those at int [M]."""
        if isinstance(key, int):
            return Masks([self._counts[key]], self.size)
        if isinstance(key, slice):
            return Masks(self._counts[key], self.size)
        if key.dtype == torch.bool:
            assert len(key) == len(self), f"{len(key)} choices for {len(self)} masks"
            key = key.nonzero()[:, 0]
        return Masks([self._counts[i] for i in key.tolist()], self.size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Masks) and (self._counts, self.size) == (other._counts, other.size)

    def __hash__(self) -> int:
        return hash((self._counts, self.size))

    def __repr__(self) -> str:
        return f"Masks({len(self)} of {self.size[0]}×{self.size[1]})"

    @property
    def rles(self) -> list[Rle]:
        """COCO's dicts; ``counts`` are ASCII bytes, to be decoded for a json."""
        return [{"size": list(self.size), "counts": counts} for counts in self._counts]

    def plain(self) -> list[dict[str, Any]]:
        """Return COCO's dicts as JSON has them, for a file of predictions."""
        return [{"size": list(self.size), "counts": counts.decode()} for counts in self._counts]

    def dense(self) -> Tensor:
        """Decode to bool [N,H,W]."""
        if not self._counts or 0 in self.size:
            return torch.zeros(len(self), *self.size, dtype=torch.bool)
        height, width = self.size
        out = np.empty((len(self), height, width), np.uint8)
        for mask, counts in zip(out, self._counts, strict=True):  # in a third of the time of pycocotools
            runs = _runs(counts)
            columns = np.repeat((np.arange(len(runs)) & 1).astype(np.uint8), runs).reshape(width, height)
            cv2.transpose(columns, mask)
        return torch.from_numpy(out).view(torch.bool)

    def areas(self) -> Tensor:
        """Pixels of each mask, float32 [N]."""
        if not self._counts or 0 in self.size:
            return torch.zeros(len(self))
        return torch.from_numpy(coco.area(self.rles).astype(np.float32))

    def boxes(self) -> Tensor:
        """Tight boxes, float32 [N,4] XYXY px, the right and lower edge beyond the last pixel; 0 for an empty mask."""
        if not self._counts or 0 in self.size:
            return torch.zeros(len(self), 4)
        boxes = coco.toBbox(self.rles).astype(np.float32)
        boxes[:, 2:] += boxes[:, :2]
        boxes[self.areas().numpy() == 0] = 0
        return torch.from_numpy(boxes)

    def iou(self, other: Masks, iscrowd: Tensor | None = None) -> Tensor:
        """Overlap with other masks of the same size, float32 [N,M].

        Args:
            other: M masks.
            iscrowd: bool [M]; against a crowd region it is the part of this mask that lies in it.
        """
        assert self.size == other.size, f"{self} against {other}"
        if not (len(self) and len(other)):
            return torch.zeros(len(self), len(other))
        crowd = np.zeros(len(other), np.uint8) if iscrowd is None else iscrowd.cpu().numpy().astype(np.uint8)
        return torch.from_numpy(np.asarray(coco.iou(self.rles, other.rles, crowd), np.float32))


def pack(segmentation: Any) -> bytes:
    """Turn the ``segmentation`` of a COCO annotation into bytes that lie in flat annotations.

    Run lengths stay as they are, compressed. Polygons are kept in the fifths of a pixel to which COCO's rasteriser
    rounds them: drawing them when they are asked for costs 50 µs each, drawing all of COCO's a minute at each start.

    Raises:
        ValueError: with a sentence, where it is neither polygons nor run lengths.
    """
    if isinstance(segmentation, dict):
        return _packed_runs(segmentation)
    if not isinstance(segmentation, list):
        raise ValueError(f"expected polygons or run lengths under 'segmentation', got {_shown(segmentation)}")
    if not segmentation:
        raise ValueError("'segmentation' is empty; expected polygons or run lengths")
    rings = []
    for ring in segmentation:
        if not isinstance(ring, list) or len(ring) % 2:
            raise ValueError(f"expected polygons x1, y1, x2, y2, … under 'segmentation', got {_shown(ring)}")
        try:
            points = np.array(ring, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"expected numbers in the polygons of 'segmentation', got {_shown(ring)}") from None
        if points.ndim != 1 or not (np.abs(points) < 1e8).all():  # NaN is not smaller either
            raise ValueError(f"expected numbers in the polygons of 'segmentation', got {_shown(ring)}")
        if len(points) >= 6:
            rings.append((5 * points + 0.5).astype(np.int32))
    short = all(ring.min() >= -32768 and ring.max() < 32768 for ring in rings)
    head = struct.pack(f"<cI{len(rings)}I", b"p" if short else b"P", len(rings), *map(len, rings))
    return head + b"".join(ring.astype(np.int16 if short else np.int32).tobytes() for ring in rings)


def _packed_runs(runs: Rle) -> bytes:
    size, counts = runs.get("size"), runs.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(n) is int and 0 < n < 1 << 31 for n in size):
        raise ValueError(f"expected the size [height, width] of run lengths, got {_shown(size)}")
    if isinstance(counts, list):
        if not all(type(n) is int and n >= 0 for n in counts) or sum(counts) != size[0] * size[1]:
            raise ValueError(f"expected run lengths that add up to {size[0]}×{size[1]} pixels, got {_shown(counts)}")
        return pack_rle(coco.frPyObjects({"size": size, "counts": counts}, *size))
    # Characters 48..111, six bits each; a last one that says that more comes would be read beyond the end.
    if not isinstance(counts, str) or not counts or not all("0" <= c <= "o" for c in counts) or counts[-1] > "O":
        raise ValueError(f"expected run lengths under 'counts', got {_shown(counts)}")
    runs_ = _runs(counts.encode())
    if min(runs_) < 0 or sum(runs_) != size[0] * size[1]:
        raise ValueError(f"expected run lengths that add up to {size[0]}×{size[1]} pixels, got {_shown(counts)}")
    return pack_rle({"size": size, "counts": counts.encode()})


def pack_rle(rle: Rle) -> bytes:
    """Pack COCO's compressed run lengths, which are not checked."""
    return struct.pack("<cII", b"R", *rle["size"]) + bytes(rle["counts"])


def segmentation(packed: bytes) -> list[list[float]] | Rle:
    """Undo :func:`pack` for a json: polygons, or run lengths whose ``counts`` are a text."""
    if packed[:1] == b"R":
        return {"size": list(struct.unpack_from("<II", packed, 1)), "counts": packed[9:].decode()}
    return [np.round(ring, 2).tolist() for ring in _unpacked_rings(packed)]


def _runs(counts: bytes) -> list[int]:
    """Read COCO's compressed run lengths: pixels of zeros, of ones, of zeros, … down the columns.

    A character has 5 bits of a number, the lowest first, and one that says that more come; from the fourth number
    on they are differences to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for code in counts:
        bits = code - 48
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs


def _unpacked_rings(data: bytes) -> list[NDArray[np.float64]]:
    """Return polygons that COCO's rasteriser rounds to the same fifths again: it cuts 5x + 0.5 towards 0."""
    [count] = struct.unpack_from("<I", data, 1)
    lengths = struct.unpack_from(f"<{count}I", data, 5)
    width: type[np.signedinteger[Any]] = np.int16 if data[:1] == b"p" else np.int32
    fifths = np.frombuffer(data, width, offset=5 + 4 * count).astype(np.float64)
    points = np.where(fifths < 0, fifths - 0.9, fifths) / 5
    return np.split(points, np.cumsum(lengths)[:-1]) if count else []


def _rasterised(objects: Sequence[Sequence[Any]], size: tuple[int, int]) -> list[bytes]:
    """Return the counts of each object, the union of its polygons."""
    if 0 in size:
        return [b""] * len(objects)
    polygons = [ring for rings in objects for ring in rings]
    drawn = coco.frPyObjects([list(p) if isinstance(p, tuple) else p for p in polygons], *size) if polygons else []
    counts, at = [], 0
    for rings in objects:
        own = drawn[at : at + len(rings)]
        at += len(rings)
        if not own:
            own = [coco.encode(np.zeros(size, np.uint8, order="F"))]
        counts.append(own[0]["counts"] if len(own) == 1 else coco.merge(own)["counts"])
    return counts


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
