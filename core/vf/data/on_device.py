"""Transforms that mix the images of a batch on the device, after it is loaded: mixup, cutmix and the like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from vf.data.sample import Batch
from vf.data.seeding import mix

TAG = 0xBA7C4
"""Keeps these draws apart from others of the same seed."""


def is_for_batches(transform: Callable[..., Any]) -> bool:
    """Whether a transform takes a batch, and not a sample; see `vf.protocols.BatchTransform`."""
    return bool(getattr(transform, "batches", False))


def transformed(batch: Batch, transforms: Sequence[Callable[..., Batch]], *numbers: int) -> Batch:
    """Apply transforms of batches, in order; what they draw is a function of ``numbers`` alone.

    Args:
        batch: on the device.
        transforms: called with the batch and a generator of the CPU.
        numbers: seed, step, pass and process.
    """
    for place, transform in enumerate(transforms):
        batch = transform(batch, torch.Generator().manual_seed(mix(TAG, place, *numbers)))
    return batch
