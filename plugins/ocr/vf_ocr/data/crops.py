"""Words cut out of pages."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.data.wrappers import fact
from vf_ocr.geometry import smallest_quad


class CropDataset:
    """Each legible word of a data set of pages, upright.

    Args:
        pages: has ``target(index, size)`` and ``sizes()``, or is decoded once to learn where words are.
        margin: cut around a word, as a part of its height.
        min_height: of a word, px.
    """

    def __init__(self, pages: Any, *, margin: float, min_height: int) -> None:
        self._pages = pages
        self._margin = margin
        self._places: list[tuple[int, int]] = []
        self._quads: list[NDArray[np.float32]] = []
        self._texts: list[str] = []
        self._last: tuple[int, Sample] | None = None
        told = hasattr(pages, "target")
        sizes = np.asarray(fact(pages, "sizes")()) if told else np.zeros((len(pages), 2), np.int64)
        for index in range(len(pages)):
            target = pages.target(index, tuple(sizes[index].tolist())) if told else pages[index].target
            self._take(index, target, min_height)

    def _take(self, index: int, target: dict[str, Any], min_height: int) -> None:
        polygons = target["polygons"].as_subclass(torch.Tensor).numpy()
        for row, (polygon, text, ignored) in enumerate(
            zip(polygons, target["texts"], target["ignored"].tolist(), strict=True)
        ):
            if ignored or not text:
                continue
            quad = corners_of(polygon)
            width, height = _sides(quad)
            if min(width, height) >= min_height:
                self._places.append((index, row))
                self._quads.append(quad.astype(np.float32))
                self._texts.append(text)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        page = self._page(self._places[index][0])
        crop = straightened(page.image.permute(1, 2, 0).numpy(), self._quads[index], margin=self._margin)
        image = tv_tensors.Image(torch.from_numpy(crop).permute(2, 0, 1))
        return Sample(image, {"text": self._texts[index]}, self.id_of(index))

    def _page(self, index: int) -> Sample:
        """Return a page; the last one is kept, for words that are asked for in order."""
        if self._last is None or self._last[0] != index:
            self._last = index, self._pages[index]
        return self._last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}

    def id_of(self, index: int) -> str:
        """The name of the page and the number of the word on it."""
        page, row = self._places[index]
        tell = getattr(self._pages, "id_of", None)
        stem = str(tell(page) if tell is not None else self._page(page).id)
        folder, dot, _ = stem.rpartition(".")
        return f"{folder if dot else stem}_{row:03d}"

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Target of a word."""
        return {"text": self._texts[index]}

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each crop [N,2]."""
        sides = [_size(quad, self._margin) for quad in self._quads]
        return np.array([(height, width) for width, height in sides], np.int32).reshape(-1, 2)


def corners_of(polygon: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quad [4,2] that a polygon [K,2] is cut out by: of a curve, the smallest rectangle around it."""
    return polygon if len(polygon) == 4 else smallest_quad(polygon)[0]


def _sides(quad: NDArray[Any]) -> tuple[float, float]:
    """Width and height of a quad: of two opposite sides, the longer one."""
    lengths = np.linalg.norm(np.roll(quad, -1, 0) - quad, axis=1)
    return float(max(lengths[0], lengths[2])), float(max(lengths[1], lengths[3]))


def _size(quad: NDArray[Any], margin: float) -> tuple[int, int]:
    width, height = _sides(quad)
    return max(1, round(width + 2 * margin * height)), max(1, round(height * (1 + 2 * margin)))


def straightened(pixels: NDArray[np.uint8], quad: NDArray[np.float32], *, margin: float = 0.0) -> NDArray[np.uint8]:
    """Cut a quad [4,2], px from the upper left of its text, out of an image [H,W,3] so that it becomes a rectangle."""
    width, height = _sides(quad)
    around = margin * height
    flat = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32) + around
    size = _size(quad, margin)
    # Pixel centres lie half a pixel from the corners that quads speak of.
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32) - 0.5, flat - 0.5)
    flags, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.warpPerspective(pixels, matrix, size, flags=flags, borderMode=border), np.uint8)
