"""Transforms made of transforms: one of several, all in any order, all or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import torch

from vf.data.sample import Sample

Transform = Callable[..., Any]
Apply = Callable[[Transform, Sample], Sample]


def _any_sets_size(transforms: Sequence[Transform]) -> bool:
    return any(getattr(t, "sets_size", False) for t in transforms)


class RandomApply:
    """Apply all, one after another, with probability ``p``; else none."""

    nests: ClassVar[Literal[True]] = True

    def __init__(self, transforms: Sequence[Transform], *, p: float) -> None:
        self._transforms = tuple(transforms)
        self._p = p
        self.sets_size = p == 1 and _any_sets_size(self._transforms)

    def __call__(self, sample: Sample, apply: Apply) -> Sample:
        """Change one sample; ``apply`` applies a transform of any kind."""
        if float(torch.rand(())) >= self._p:
            return sample
        for transform in self._transforms:
            sample = apply(transform, sample)
        return sample


class RandomChoice:
    """Apply one of several lists, each as often as its weight says."""

    nests: ClassVar[Literal[True]] = True

    def __init__(self, choices: Sequence[Sequence[Transform]], *, weights: Sequence[float]) -> None:
        self._choices = tuple(tuple(choice) for choice in choices)
        self._weights = torch.tensor(weights)
        self.sets_size = all(_any_sets_size(choice) for choice in self._choices)

    def __call__(self, sample: Sample, apply: Apply) -> Sample:
        """Change one sample; ``apply`` applies a transform of any kind."""
        for transform in self._choices[int(torch.multinomial(self._weights, 1))]:
            sample = apply(transform, sample)
        return sample


class RandomOrder:
    """Apply all, in an order drawn anew for each sample."""

    nests: ClassVar[Literal[True]] = True

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self._transforms = tuple(transforms)
        self.sets_size = _any_sets_size(self._transforms)

    def __call__(self, sample: Sample, apply: Apply) -> Sample:
        """Change one sample; ``apply`` applies a transform of any kind."""
        for place in torch.randperm(len(self._transforms)).tolist():
            sample = apply(self._transforms[place], sample)
        return sample


class WithObjects:
    """Apply a transform to samples that have a box; images without any stay as they are."""

    nests: ClassVar[Literal[True]] = True

    def __init__(self, transform: Transform) -> None:
        self._transform = transform

    def __call__(self, sample: Sample, apply: Apply) -> Sample:
        """Change one sample; ``apply`` applies a transform of any kind."""
        return apply(self._transform, sample) if len(sample.target.get("boxes", ())) else sample
