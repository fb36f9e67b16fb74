"""What lies between a data set and a batch: transforms, the model's resize, and dropping what they emptied."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from vf.data.follow import lowered, raised, select_objects, settle
from vf.data.on_device import is_for_batches
from vf.data.sample import Sample
from vf.data.sampler import Draw
from vf.data.seeding import mix, put_back, reseed
from vf.errors import ConfigError, VFError
from vf.protocols import Dataset, Preprocess


@attrs.frozen
class Fitted:
    """A sample that is ready for a batch, with its size as decoded."""

    sample: Sample
    original: tuple[int, int]
    skipped: tuple[str, ...] = ()
    """What could not be read in its place."""
    place: int | None = None
    """In its split, where the order matters."""


@attrs.frozen
class Failure:
    """An error of the user's data on its way out of a worker process, without a traceback around it."""

    kind: type[VFError]
    problems: tuple[str, ...]


ATTEMPTS = 8
"""Samples tried for one place of a batch where broken ones are skipped."""


class TrainView(TorchDataset[Fitted | Failure]):
    """Augmented samples, each a pure function of (seed, epoch, index).

    The model's ``preprocess.fit`` comes last, unless a transform has the attribute ``sets_size = True``: then the
    size that this one gives is what the model is trained at, and ``preprocess.finish``, where there is one, comes last.
    """

    def __init__(
        self,
        dataset: Dataset,
        transforms: Sequence[Callable[..., Any]],
        preprocess: Preprocess,
        *,
        seed: int,
        skip_broken: bool = False,
    ) -> None:
        self._dataset = dataset
        self._transforms = tuple(transforms)
        self._preprocess = preprocess
        self._seed = seed
        self._attempts = ATTEMPTS if skip_broken else 1
        self._sets_size = any(getattr(t, "sets_size", False) for t in transforms)
        # To seed three generators takes half as long as to decode a word's crop. Without transforms, a data set and a
        # preprocess that both say ``draws_nothing = True`` do without.
        self._draws = bool(transforms) or not all(getattr(p, "draws_nothing", False) for p in (dataset, preprocess))

    def __getitem__(self, draw: Draw) -> Fitted | Failure:
        with put_back():
            return self._drawn(draw)

    def __getitems__(self, draws: Sequence[Draw]) -> list[Fitted | Failure]:
        """Return those of a batch; the generators are put back once."""
        with put_back():
            return [self._drawn(draw) for draw in draws]

    def _drawn(self, draw: Draw) -> Fitted | Failure:
        skipped: tuple[str, ...] = ()
        index = draw.index
        for attempt in range(self._attempts):
            try:
                if self._draws:
                    reseed(self._seed, draw.epoch, index)
                fitted = self._load(attrs.evolve(draw, index=index) if attempt else draw)
                return attrs.evolve(fitted, skipped=skipped) if skipped else fitted
            except VFError as error:
                kind, skipped = type(error), tuple(dict.fromkeys((*skipped, *error.problems)))
            # Another sample, the same one in every run, takes the place: batches stay full.
            index = mix(self._seed, draw.epoch, draw.index, attempt) % len(self._dataset)
        return Failure(kind, skipped)

    def _load(self, draw: Draw) -> Fitted:
        sample = self._dataset[draw.index]
        original = sample.size
        for transform in self._transforms:
            sample = apply_transform(transform, sample, self._pick, final=draw.final)
        if not self._sets_size:
            sample = self._preprocess.fit(sample, with_target=True)
        elif (finish := getattr(self._preprocess, "finish", None)) is not None:
            sample = finish(sample)
        return Fitted(drop_empty_boxes(sample), original)

    def _pick(self) -> Sample:
        return self._dataset[int(torch.randint(len(self._dataset), ()))]


def apply_transform(
    transform: Callable[..., Any], sample: Sample, pick: Callable[[], Sample], *, final: bool
) -> Sample:
    """Apply one transform of any kind; in the final phase those that mix images, or say so, are left out.

    Args:
        transform: of torchvision's v2; or ``Sample -> Sample``; or, with ``mixes = True``, ``(sample, pick) ->
            Sample``; or, with ``nests = True``, ``(sample, apply) -> Sample``, where ``apply(transform, sample)``
            applies one of its own.
    """
    if is_for_batches(transform):
        name = type(transform).__name__
        raise ConfigError(f"augment: {name} mixes whole batches; it stands in the list itself, in no other transform")
    if final and (getattr(transform, "mixes", False) or getattr(transform, "skips_final", False)):
        return sample
    changed: Sample
    if getattr(transform, "mixes", False):
        changed = transform(sample, pick)
    elif getattr(transform, "nests", False):
        changed = transform(sample, lambda inner, part: apply_transform(inner, part, pick, final=final))
    elif isinstance(transform, v2.Transform):
        changed = _apply_torchvision(transform, sample)
    else:
        changed = transform(sample)
    return changed


def _apply_torchvision(transform: v2.Transform, sample: Sample) -> Sample:
    if getattr(transform, "image_only", False) or not _moves(sample.target):
        return attrs.evolve(sample, image=transform(sample.image))
    inside = getattr(transform, "stays_inside", False)
    given, masks = sample.target if inside else raised(sample.target), sample.target.get("masks")
    if masks is None or len(masks):
        image, target = transform(sample.image, given)
    else:  # some of its kernels cannot take a tensor without elements
        image, target = transform(sample.image, {k: v for k, v in given.items() if k != "masks"})
        target["masks"] = tv_tensors.Mask(masks.new_zeros(0, *image.shape[-2:]))
    size = (int(image.shape[-2]), int(image.shape[-1]))
    target = target if inside else lowered(target, sample.target)
    return attrs.evolve(sample, image=image, target=settle(target, sample.target, size))


def _moves(target: Mapping[str, Any]) -> bool:
    """Whether anything in a target moves with the pixels; what torchvision does for that costs more than a flip."""
    return any(isinstance(value, tv_tensors.TVTensor) for value in target.values())


class EvalView(TorchDataset[Fitted | Failure]):
    """Samples as a model wants them; targets stay in the pixel frame of the decoded image."""

    def __init__(self, dataset: Dataset, preprocess: Preprocess) -> None:
        self._dataset = dataset
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Fitted | Failure:
        try:
            sample = self._dataset[index]
        except VFError as error:
            return Failure(type(error), error.problems)
        return Fitted(self._preprocess.fit(sample, with_target=False), sample.size, place=index)


def drop_empty_boxes(sample: Sample, *, smallest: float = 1.0) -> Sample:
    """Drop boxes with a side under ``smallest`` px, and the rows of every other key that belong to them."""
    boxes = sample.target.get("boxes")
    if boxes is None or len(boxes) == 0:
        return sample
    keep = ((boxes[:, 2:] - boxes[:, :2]) >= smallest).all(dim=1).as_subclass(Tensor)
    if keep.all():
        return sample
    return attrs.evolve(sample, target=select_objects(sample.target, keep))
