"""A page of drawn samples: as they lie in the data, or as training sees them, after transforms and resize."""

from __future__ import annotations

import numbers
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image as Picture

from vf import pictures
from vf.data.on_device import is_for_batches
from vf.data.pipeline import Failure, TrainView
from vf.data.sample import Sample
from vf.data.sampler import TrainSampler
from vf.data.wrappers import shuffled
from vf.engine.build import preprocess_of
from vf.errors import DataError, listed
from vf.pages import page
from vf.protocols import DatasetConfig, DatasetInfo, Split
from vf.recipes import Recipe
from vf.wrapper_configs import build_as

DRAWN = {"boxes", "masks", "labels", "keypoints", "visible", "semantic", "iscrowd", "area", "difficult"}
"""Keys of targets that a picture shows, or that say little to people."""


@attrs.frozen
class Drawn:
    """One sample of the page."""

    picture: Picture
    id: str
    facts: tuple[str, ...]
    legend: tuple[tuple[str, str], ...] = ()
    """Colour as #rrggbb, and what of a map has it."""


def as_trained(recipe: Recipe, split: Split, *, number: int, seed: int | None) -> Iterator[Drawn]:
    """Draw the first samples that a training of the recipe sees, in their order.

    Args:
        recipe: its data, augment and model count; weights are not loaded.
        split: to train on.
        number: of samples.
        seed: instead of the recipe's.

    Raises:
        DataError: there is no such split, or a sample cannot be read.
    """
    info = _known(recipe.data, split)
    dataset = build_as(recipe.data, split, evaluation=False)
    seed = recipe.train.seed if seed is None else seed
    built = [transform.build() for transform in recipe.augment]
    transforms = [transform for transform in built if not is_for_batches(transform)]
    view = TrainView(dataset, transforms, preprocess_of(recipe.model.build(info)), seed=seed)
    batch = recipe.train.batch_size
    sampler = TrainSampler(
        num_samples=len(dataset),
        batch_size=batch,
        steps=-(-number // batch),
        seed=seed,
        order=recipe.loader.sampler.build(dataset, batch_size=batch, seed=seed),
    )
    for draw in [draw for draws in sampler for draw in draws][:number]:
        fitted = view[draw]
        if isinstance(fitted, Failure):
            raise fitted.kind(*fitted.problems)
        was = f"from {fitted.original[1]}×{fitted.original[0]}"
        yield _drawn(fitted.sample, info, was, f"sample {draw.index}, epoch {draw.epoch}")


def as_labelled(data: DatasetConfig, split: Split, *, number: int, seed: int) -> Iterator[Drawn]:
    """Draw samples of a split as they lie in the data, chosen by the seed."""
    info = _known(data, split)
    dataset = build_as(data, split, evaluation=True)
    for index in shuffled(len(dataset), seed)[:number]:
        yield _drawn(dataset[index], info, f"sample {index}")


def _known(data: DatasetConfig, split: Split) -> DatasetInfo:
    info = data.info()
    if not info.num_samples.get(split):
        raise DataError(f"the data has no split {split!r}; it has {listed(info.num_samples)}")
    return info


def _drawn(sample: Sample, info: DatasetInfo, *facts: str) -> Drawn:
    names = (*info.classes, *info.stuff)
    picture = pictures.draw(sample.image, sample.target, names, palette=info.palette)
    height, width = sample.size
    found = [f"{width}×{height}", *facts, *_said(sample.target, names)]
    semantic = sample.target.get("semantic")
    legend = () if semantic is None else _legend(np.asarray(semantic), names, info.palette)
    return Drawn(picture, sample.id, tuple(found), legend)


def _said(target: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Say what a picture cannot: how many of each class, and the texts and numbers of other keys."""
    labels = target.get("labels")
    if isinstance(labels, torch.Tensor):
        counts = Counter(labels.reshape(-1).tolist())
        yield ", ".join(f"{n} {names[k]}" for k, n in counts.most_common()) or "no objects"
    for key in ("iscrowd", "difficult"):
        marks = target.get(key)
        if isinstance(marks, torch.Tensor) and bool(marks.any()):
            yield f"{int(marks.sum())} {key.removeprefix('is')}"
    for key, value in target.items():
        single = value.item() if isinstance(value, torch.Tensor) and value.numel() == 1 and not value.ndim else value
        if key not in DRAWN and isinstance(single, str | numbers.Number):
            yield f"{key}: {single}"


def _legend(
    pixels: NDArray[Any], names: Sequence[str], palette: Sequence[tuple[int, int, int]] | None
) -> tuple[tuple[str, str], ...]:
    """Say which colour and which part of a map [H,W] each class has, the largest part first."""
    values, counts = np.unique(pixels, return_counts=True)
    rows = []
    for place in np.argsort(-counts, kind="stable").tolist():
        index, share = int(values[place]), 100 * int(counts[place]) / pixels.size
        if index >= len(names):
            rows.append(("transparent", f"ignored {share:.1f} %"))
            continue
        rgb = palette[index] if palette and index < len(palette) else pictures.colour(index)
        rows.append((f"#{bytes(rgb).hex()}", f"{names[index]} {share:.1f} %"))
    return tuple(rows)


def write_page(file: Path, title: str, drawn: Iterator[Drawn], *, beside: bool) -> int:
    """Write an HTML page that needs nothing else, or whose images lie beside it as 0001.jpg, 0002.jpg, …

    Args:
        file: the page; nothing lies there.
        title: for people.
        drawn: the samples.
        beside: images are files.

    Returns:
        the number of samples.
    """
    figures = []
    for number, one in enumerate(drawn, 1):
        content, size = page.jpeg(one.picture)
        source = page.inlined(content)
        if beside:
            source = f"{number:04d}.jpg"
            (file.parent / source).write_bytes(content)
        figures.append(page.pictured(source, size, one.id, _caption(one)))
    section = page.Section("samples", "Samples", page.gallery(figures))
    text = page.document(title, lead="", sections=[section])
    # Names of files need not be UTF-8: what is not becomes a question mark.
    file.write_bytes(text.encode("utf-8", "replace"))
    return len(figures)


def _caption(one: Drawn) -> str:
    facts = " · ".join(page.text(fact) for fact in one.facts)
    legend = "".join(f'<i style="background:{colour}"></i>{page.text(text)}' for colour, text in one.legend)
    return f"<b>{page.text(one.id)}</b><br><span>{facts}</span>{legend and '<br>'}{legend}"
