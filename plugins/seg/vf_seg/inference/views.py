"""Logits of images too large for the network at once: windows from top to bottom, and rows that are finished.

A window keeps its logits at the size at which the network gives them, which is 16 to 64 times smaller than the
window; they are brought to pixels row by row, where they are asked for. So the memory that an image takes is that of
one window in the network, of the small logits of the windows that still lie over the next rows, and of those rows. The
whole image at once is the case of one window.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs
import torch
from torch import Tensor

from vf_seg.inference.rows import resized_rows, sources

Logits = Callable[[Tensor], tuple[Tensor, tuple[int, int]]]
"""uint8 [B,3,h,w] -> logits float32 [B,C,h',w'], and height and width of the padded images that they are of."""


@attrs.frozen
class Window:
    """What the network says of a part of the images."""

    top: int
    left: int
    height: int
    width: int
    logits: Tensor
    """float32 [B,C,h,w]."""
    padded: tuple[int, int]
    """Height and width, px, that the logits are of; the part lies at the top left."""

    def rows(self, start: int, stop: int) -> Tensor:
        """Return logits [B,C,stop-start,width] of rows of the images that this window covers."""
        wanted = sources(
            start - self.top,
            stop - self.top,
            of=self.logits.shape[-2],
            to=self.padded[0],
            device=self.logits.device,
        )
        part = self.logits[:, :, wanted.first : wanted.stop]
        return resized_rows(part, wanted, width=self.padded[1])[..., : self.width]


class View:
    """Images of one size, seen in one way; gives logits of rows, from top to bottom.

    Args:
        logits: of a part of the images, as if it were a whole image.
        images: uint8 [B,3,H,W].
        crop: height and width of a window; None: the image.
        stride: from one window to the next, down and across; the last ones lie at the edges.
        mirrored: see the images mirrored left and right, and mirror what comes of it back.
    """

    def __init__(
        self,
        logits: Logits,
        images: Tensor,
        *,
        crop: tuple[int, int] | None = None,
        stride: tuple[int, int] = (1, 1),
        mirrored: bool = False,
    ) -> None:
        self._logits, self._images, self._mirrored = logits, images, mirrored
        self.height, self.width = int(images.shape[-2]), int(images.shape[-1])
        crop = (self.height, self.width) if crop is None else crop
        self._crop = min(crop[0], self.height), min(crop[1], self.width)
        self._columns = window_starts(self.width, self._crop[1], stride[1])
        self._below = iter(window_starts(self.height, self._crop[0], stride[0]))
        self._next: int | None = next(self._below)
        self._live: list[Window] = []

    def __len__(self) -> int:
        return len(self._images)

    def rows(self, start: int, stop: int, size: tuple[int, int]) -> Tensor:
        """Return the logits of rows of the view resized to ``size``, float32 [B,C,stop-start,size[1]].

        The beginnings of what is asked for may not go up.
        """
        if size == (self.height, self.width):
            return self._own_rows(start, stop)
        wanted = sources(start, stop, of=self.height, to=size[0], device=self._images.device)
        return resized_rows(self._own_rows(wanted.first, wanted.stop), wanted, width=size[1])

    def _own_rows(self, start: int, stop: int) -> Tensor:
        self._live = [window for window in self._live if window.top + window.height > start]
        while self._next is not None and self._next < stop:
            self._live += self._windows(self._next)
            self._next = next(self._below, None)
        rows = (
            self._live[0].rows(start, stop) if len(self._columns) == 1 == len(self._live) else self._mean(start, stop)
        )
        return rows.flip(-1) if self._mirrored else rows

    def _windows(self, top: int) -> Iterator[Window]:
        """Yield a row of windows."""
        height, width = self._crop
        for left in self._columns:
            at = self.width - left - width if self._mirrored else left
            part = self._images[:, :, top : top + height, at : at + width]
            logits, padded = self._logits(part.flip(-1) if self._mirrored else part)
            yield Window(top, left, height, width, logits, padded)

    def _mean(self, start: int, stop: int) -> Tensor:
        batch, classes = self._live[0].logits.shape[:2]
        total = self._live[0].logits.new_zeros(batch, classes, stop - start, self.width)
        count = total.new_zeros(stop - start, self.width)
        for window in self._live:
            first, last = max(start, window.top), min(stop, window.top + window.height)
            if first < last:
                here = slice(first - start, last - start), slice(window.left, window.left + window.width)
                total[:, :, here[0], here[1]] += window.rows(first, last)
                count[here] += 1
        return total.div_(count)


def window_starts(length: int, crop: int, stride: int) -> list[int]:
    """Return where windows of ``crop`` begin along a side: a stride apart, the last one at the end of the side."""
    if crop >= length:
        return [0]
    count = -(-(length - crop) // stride) + 1
    return [min(i * stride, length - crop) for i in range(count)]


def bands(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield ranges of ``rows`` rows that cover ``height``."""
    return itertools.pairwise([*range(0, height, max(1, rows)), height])


def class_map(classes: int) -> torch.dtype:
    """Return the type of a map of so many classes: 255 stays free for what is ignored."""
    return torch.uint8 if classes <= 255 else torch.int16
