"""Join samples into a batch: images padded to one size, targets laid flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision import tv_tensors

from vf.data.follow import IGNORE
from vf.data.pipeline import Failure, Fitted
from vf.data.sample import Batch


class Collate:
    """Callable for the DataLoader.

    Args:
        fill: grey level (0..255) of the padding.
        skip_broken: leave samples out that could not be read, as long as one of the batch could.
    """

    def __init__(self, *, fill: int, skip_broken: bool = False) -> None:
        self._fill = fill
        self._skip_broken = skip_broken

    def __call__(self, items: Sequence[Fitted | Failure]) -> Batch | Failure:
        fitted = [item for item in items if isinstance(item, Fitted)]
        failures = [item for item in items if isinstance(item, Failure)]
        if failures and not (self._skip_broken and fitted):
            return failures[0]
        skipped = tuple(problem for item in fitted for problem in item.skipped)
        skipped += tuple(problem for item in failures for problem in item.problems)
        pads = [f.sample.pad for f in fitted if f.sample.pad is not None]
        images, sizes = pad_images([f.sample.image for f in fitted], fill=self._fill, at_least=pads)
        targets, counts = _flatten([f.sample.target for f in fitted], images.shape[-2:])
        return Batch(
            images=images,
            sizes=sizes,
            original=torch.tensor([f.original for f in fitted]),
            ids=tuple(f.sample.id for f in fitted),
            targets=targets,
            counts=counts,
            skipped=skipped,
            places=tuple(f.place for f in fitted if f.place is not None),
        )


def pad_images(
    images: Sequence[Tensor], *, fill: int, at_least: Sequence[tuple[int, int]] = ()
) -> tuple[Tensor, Tensor]:
    """Lay uint8 [3,H,W] images at the top left of one [B,3,max H,max W]; also return their [B,2] sizes.

    Args:
        images: one or more.
        fill: grey level of the padding, 0..255.
        at_least: heights and widths that count besides those of the images.
    """
    plain = [image.as_subclass(Tensor) for image in images]  # whose shape costs nothing to ask for
    own = [tuple(image.shape[-2:]) for image in plain]
    height, width = (max(column) for column in zip(*own, *at_least, strict=True))
    if all(size == (height, width) for size in own):
        batch = torch.empty(len(images), 3, height, width, dtype=torch.uint8)
    else:
        batch = torch.full((len(images), 3, height, width), fill, dtype=torch.uint8)
    for out, image, (high, wide) in zip(batch, plain, own, strict=True):
        _lay(out[:, :high, :wide], image)
    return batch, torch.tensor(own)


def _lay(out: Tensor, image: Tensor) -> None:
    """Copy uint8 [3,H,W]; OpenCV takes rows of pixels apart in a fifth of the time that torch does."""
    rows, planes = image.permute(1, 2, 0), list(out.numpy())
    if not rows.is_contiguous() or not rows.numel():
        out[:] = image
        return
    for plane, written in zip(planes, cv2.split(rows.numpy(), planes), strict=True):
        if written is not plane:  # a plane that it could not write into
            plane[:] = written


def _flatten(targets: Sequence[dict[str, Any]], size: torch.Size) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    flat: dict[str, Any] = {}
    counts: dict[str, tuple[int, ...]] = {}
    for key in targets[0]:
        values = [t[key] for t in targets]
        if not isinstance(values[0], Tensor):
            flat[key] = tuple(values)
        elif values[0].ndim == 0:
            flat[key] = torch.stack([v.as_subclass(Tensor) for v in values])
        else:
            if isinstance(values[0], tv_tensors.Mask):
                fill = IGNORE if values[0].ndim == 2 else 0
                values = [F.pad(v, (0, size[1] - v.shape[-1], 0, size[0] - v.shape[-2]), value=fill) for v in values]
            flat[key] = torch.cat([v.as_subclass(Tensor) for v in values])
            counts[key] = tuple(len(v) for v in values)
    return flat, counts
