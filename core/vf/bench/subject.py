"""What is measured: a model with weights or without, and images for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from torchvision import tv_tensors

from vf.data.decode import decode
from vf.data.sample import Sample
from vf.engine.build import validation_split
from vf.engine.precision import make_precision, pick_device
from vf.errors import DataError, VFError
from vf.export.images import image_files
from vf.orders import BenchOrder
from vf.predict import Predictor
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, resolve

FRAME = (480, 640)
"""Height and width of noise, px, where there are no images."""
MOST = 64
"""Images that are measured on, at most."""


@attrs.frozen
class Subject:
    """A model and images."""

    predictor: Predictor
    notes: tuple[str, ...]
    """What is to be known of the figures."""
    images: Callable[[int], Sample]
    """Loads the image at a place, from 0 on, over and over again; its labels are read too, where there are any."""
    source: str
    """Where the images come from, for people."""


def subject_of(asked: BenchOrder) -> Subject:
    """Load or build.

    Raises:
        VFError: there is no such model, or no such image.
    """
    if _has_weights(asked.model):
        predictor = Predictor.load(
            asked.model,
            device=asked.device,
            precision=asked.precision,
            data=asked.data,
            overrides=asked.overrides,
        )
        return Subject(predictor, (), *_images(asked, predictor.resolved))
    resolved = resolve(asked.model, data=asked.data, overrides=asked.overrides)
    info, notes = _facts(resolved, asked.classes)
    torch.manual_seed(0)
    model: Any = resolved.recipe.model.build(info)
    predictor = Predictor(model, resolved, info, make_precision(asked.precision, pick_device(asked.device)))
    notes = ("a recipe has no weights: these are random, and there is more or less to do after the network", *notes)
    return Subject(predictor, notes, *_images(asked, resolved))


def _has_weights(reference: str) -> bool:
    return Path(reference).exists() and not reference.endswith((".yaml", ".yml"))


def _facts(resolved: Resolved, classes: int) -> tuple[DatasetInfo, tuple[str, ...]]:
    """Return the facts of the data, or make them up where there are none."""
    try:
        return resolved.recipe.data.info(), ()
    except VFError:
        names = tuple(chr(0x4E00 + place) for place in range(classes))  # of one letter: characters will do as well
        task = resolved.recipe.task
        info = DatasetInfo(classes=names, stuff=("stuff",), task=task, num_samples={}, fingerprint="none")
        return info, (f"the recipe's data are not here: {classes} classes were made up; --classes N says how many",)


def _images(asked: BenchOrder, resolved: Resolved) -> tuple[Callable[[int], Sample], str]:
    if asked.images:
        files = image_files(asked.images)[:MOST]
        return lambda place: _decoded(files[place % len(files)]), f"{len(files)} images of {asked.images}"
    try:
        data = resolved.recipe.data
        split = validation_split(data.info())
        dataset = data.build(split)
        count = min(MOST, len(dataset))
        dataset[0]  # whether it can be read
    except DataError:
        if asked.data:
            raise  # they were asked for
        pixels = torch.randint(0, 256, (3, *FRAME), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        return lambda place: Sample(tv_tensors.Image(pixels), {}, str(place)), f"noise of {FRAME[0]}×{FRAME[1]} px"
    return lambda place: attrs.evolve(dataset[place % count], target={}), f"{count} images of split {split!r}"


def _decoded(path: Path) -> Sample:
    return Sample(decode(path), {}, str(path))
