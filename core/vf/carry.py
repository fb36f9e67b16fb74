"""How the tensors of a file of another library become those of one of our models.

The names are the plugins' business (`vf.protocols.ForeignWeights`); here they are applied, class rows are put into our
order, and what came of it is counted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from vf.errors import CheckpointError, ConfigError, VFError, listed
from vf.foreign import Foreign
from vf.protocols import DatasetInfo, ModelConfig
from vf.translation import ClassRows, ForeignWeights
from vf.weights import COUNTER, counted, grouped

OWN = (r"preprocess\..*",)
"""Our tensors that no other library has."""
EPS = 1e-5
"""Of our batch norms."""
WORTH_A_TRY = 0.5
"""Part of a file's names that rules must know before a model is built to try it on."""

Build = Callable[[DatasetInfo], nn.Module]


@attrs.frozen(kw_only=True)
class Carried:
    """What came of a file for one model."""

    tensors: dict[str, Tensor]
    """In our names and shapes."""
    info: DatasetInfo
    wanted: tuple[str, ...]
    """All tensors of the model."""
    missing: tuple[str, ...]
    """Of the model and not in the file, beside those that it cannot have."""
    unused: tuple[str, ...]
    """Of the file, in its names."""
    shapes: tuple[str, ...]
    """Tensors of another shape, in a sentence each."""
    renamed: int

    @property
    def whole(self) -> bool:
        """Whether the model has all that it needs."""
        return not (self.missing or self.shapes)

    @property
    def share(self) -> float:
        """Part of the model's tensors that came, 0..1."""
        return len(self.tensors) / max(1, len(self.wanted))

    def lines(self) -> list[str]:
        """Say it."""
        came, total = len(counted(self.tensors)), len(counted(self.wanted))
        lines = [f"model {came} of {total} tensors came, {self.renamed} of them renamed"]
        missing, unused = counted(self.missing), counted(self.unused)
        if missing:
            lines.append(f"model missing {len(missing)}: {grouped(missing, self.wanted)}")
        if self.shapes:
            lines.append(f"model other shapes: {listed(self.shapes, limit=4)}")
        if unused:
            lines.append(f"file  unused {len(unused)}: {grouped(unused, [*unused])}")
        return lines


def renamer(weights: ForeignWeights, wanted: Mapping[str, Any]) -> Callable[[str], str | None]:
    """Return a function from their names to ours; None for a name that no rule knows."""
    rules = [(re.compile(pattern), ours) for pattern, ours in weights.rules]

    def rename(name: str) -> str | None:
        for pattern, ours in rules:
            if (match := pattern.fullmatch(name)) and (given := match.expand(ours)) in wanted:
                return given
        return None

    return rename


def shapes_of(build: Build, info: DatasetInfo) -> dict[str, torch.Size]:
    """Return the shapes of a model's tensors without making them."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in build(info).state_dict().items()}


def facts_of(count: int, stuff: int = 0, task: str = "") -> DatasetInfo:
    """Return facts with so many made-up classes."""
    names = tuple(f"class {i}" for i in range(count))
    more = tuple(f"stuff {i}" for i in range(stuff))
    return DatasetInfo(classes=names, task=task, num_samples={}, fingerprint="", stuff=more)


def carry(
    foreign: Foreign,
    weights: ForeignWeights,
    build: Build,
    *,
    task: str = "",
    classes: Sequence[str] = (),
    eps: float = EPS,
) -> Carried:
    """Bring the tensors of a file into the names, the class order and the shapes of a model.

    Args:
        foreign: the file.
        weights: what the plugin knows of its names.
        build: makes the model for some classes.
        task: of the recipe.
        classes: names in the file's order, background left out; empty: as the file or the plugin knows them.
        eps: of the batch norms that the file was trained with.

    Raises:
        ConfigError: nobody says what the classes are called, or the names are too many or too few.
    """
    wanted = shapes_of(build, facts_of(1, 1))
    rename = renamer(weights, wanted)
    theirs = {ours: tensor for name, tensor in foreign.tensors.items() if (ours := rename(name))}
    counts = _rows_in(theirs, weights, wanted)
    info, picks = _named_classes(foreign, weights, counts, theirs, classes, task)
    wanted = shapes_of(build, info)
    made, shapes, unused, renamed = {}, [], [], 0
    for name, tensor in foreign.tensors.items():
        ours = rename(name)
        if ours is None:
            unused.append(name)
            continue
        tensor = _picked(ours, tensor, weights, picks, wanted[ours], len(info.classes))
        if tensor.ndim == 0 and wanted[ours].numel() == 1:
            tensor = tensor.reshape(wanted[ours])
        if tensor.shape != wanted[ours]:
            shapes.append(f"{ours} {tuple(tensor.shape)} for {tuple(wanted[ours])}")
            continue
        if ours.endswith("running_var") and eps != EPS:
            tensor = (tensor.double() + eps - EPS).to(tensor.dtype)
        made[ours] = tensor.contiguous()
        renamed += ours != name
    absent = [re.compile(pattern) for pattern in (*OWN, *weights.absent)]
    free = {name for name in wanted if name.endswith(COUNTER) or any(p.fullmatch(name) for p in absent)}
    lost = {line.partition(" ")[0] for line in shapes}
    missing = tuple(name for name in wanted if name not in made and name not in free | lost)
    return Carried(
        tensors=made,
        info=info,
        wanted=tuple(name for name in wanted if name in made or name not in free),
        missing=missing,
        unused=tuple(unused),
        shapes=tuple(shapes),
        renamed=renamed,
    )


def _rows_of(name: str, weights: ForeignWeights) -> ClassRows | None:
    return next((rows for rows in weights.rows if re.fullmatch(rows.names, name)), None)


def _rows_in(theirs: Mapping[str, Tensor], weights: ForeignWeights, probe: Mapping[str, torch.Size]) -> dict[str, int]:
    """Return how many classes, with background, each of the file's tensors with class rows has.

    Args:
        theirs: in our names.
        weights: which they are.
        probe: shapes of the model for a single class.
    """
    counts = {}
    for name, tensor in theirs.items():
        rows = _rows_of(name, weights)
        if rows is not None and tensor.ndim:
            groups = probe[name][0] // ((1 + rows.background) * rows.rows)
            counts[name] = tensor.shape[0] // (groups * rows.rows)
    return counts


def _named_classes(
    foreign: Foreign,
    weights: ForeignWeights,
    counts: Mapping[str, int],
    theirs: Mapping[str, Tensor],
    given: Sequence[str],
    task: str,
) -> tuple[DatasetInfo, tuple[int, ...]]:
    """Return the facts of the classes, and of each its place among the file's rows."""
    first = weights.background_first
    real = {n - (1 if first or _background(name, weights) else 0) for name, n in counts.items()}
    stuff = theirs[weights.stuff].shape[0] - 1 if weights.stuff in theirs else 0
    if len(real) > 1:
        raise CheckpointError(
            f"{foreign.path}: its heads are of {listed(map(str, sorted(real)))} classes; expected one number"
        )
    if not real:  # a part of a model, without a head
        return facts_of(1, stuff, task), (0,)
    count = real.pop()
    names, ids, gaps = _names_for(foreign, weights, count, stuff, given)
    if len(names) != count + stuff and not gaps:
        raise ConfigError(
            f"{foreign.path}: has {count + stuff} classes, and {len(names)} names are given; name them in the order of "
            "the file: --classes FILE, one a line"
        )
    info = attrs.evolve(facts_of(0, task=task), classes=names[: len(names) - stuff], stuff=names[len(names) - stuff :])
    info = attrs.evolve(info, category_ids=ids)
    if gaps:
        return info, gaps
    return info, tuple(range(1, count + 1) if first else range(count))


def _background(name: str, weights: ForeignWeights) -> bool:
    rows = _rows_of(name, weights)
    return rows is not None and rows.background


def _names_for(
    foreign: Foreign, weights: ForeignWeights, count: int, stuff: int, given: Sequence[str]
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]:
    """Return names, ids of the known lists, and the rows where these have gaps: torchvision counts COCO's 90 ids."""
    own = tuple(given) or foreign.classes
    for names, ids in weights.known:
        if (own == names or not own) and len(names) == count + stuff:
            return names, ids, ()
        if not own and weights.background_first and count == max(ids, default=0) and not stuff:
            return names, ids, ids
    if not own:
        raise ConfigError(
            f"{foreign.path}: has {count + stuff} classes and does not name them; say their names in the order of the "
            "file: --classes FILE, one a line"
        )
    return own, (), ()


def _picked(
    name: str, tensor: Tensor, weights: ForeignWeights, picks: Sequence[int], shape: torch.Size, count: int
) -> Tensor:
    """Bring the class rows of a tensor into our order: classes, then background where we have it."""
    rows = _rows_of(name, weights)
    if rows is None or not weights.background_first or not tensor.ndim:
        return tensor
    groups = shape[0] // ((count + rows.background) * rows.rows)
    if not groups or tensor.shape[0] % (groups * rows.rows):
        return tensor
    parts = tensor.reshape(groups, -1, rows.rows, *tensor.shape[1:])
    wanted = [*picks, 0] if rows.background else list(picks)
    if max(wanted) >= parts.shape[1]:
        return tensor
    return parts[:, wanted].reshape(-1, *tensor.shape[1:])


def published_eps(foreign: Foreign, weights: ForeignWeights) -> float:
    """Return the eps of the batch norms of a file, by its published name."""
    return next((eps for name, eps in weights.norm_eps.items() if foreign.path.name.startswith(name)), EPS)


@attrs.frozen
class Fit:
    """A recipe that a file was tried on."""

    recipe: str
    source: str
    share: float
    """Part of the tensors of its model that the file has, 0..1."""
    came: int
    wanted: int


def try_on(foreign: Foreign, models: Mapping[str, ModelConfig], sources: Sequence[str]) -> list[Fit]:
    """Return how well the file fits the models of recipes, the best first; recipes of one model count once.

    Args:
        foreign: the file.
        models: of recipes, by their names.
        sources: libraries whose names are tried.
    """
    fits, seen = [], set()
    for name, model in models.items():
        for source in sources:
            weights = foreign_weights(model, source)
            key = (repr(model), source)
            if weights is None or key in seen or _known_share(foreign, weights) < WORTH_A_TRY:
                continue
            seen.add(key)
            try:
                carried = carry(foreign, weights, model.build)
            except VFError:
                continue
            came, wanted = len(counted(carried.tensors)), len(counted(carried.wanted))
            fits.append(Fit(name, source, came / max(1, wanted), came, wanted))
    # Recipes that differ in their data alone fit alike: the one with the plainest name comes first.
    return sorted(fits, key=lambda fit: (-fit.share, len(fit.recipe), fit.recipe))


def _known_share(foreign: Foreign, weights: ForeignWeights) -> float:
    """Return the part of the file's names that some rule would take, whatever it makes of them.

    Those of the backbone are left out where there are others: rules hand most of them on as they are.
    """
    patterns = [re.compile(pattern) for pattern, _ in weights.rules]
    names = counted(foreign.tensors)
    names = [name for name in names if not name.startswith("backbone.")] or names
    return sum(any(p.fullmatch(name) for p in patterns) for name in names) / max(1, len(names))


def foreign_weights(model: ModelConfig, source: str) -> ForeignWeights | None:
    """Return what a model knows of another library's weights."""
    method = getattr(model, "foreign_weights", None)
    found: ForeignWeights | None = None if method is None else method(source)
    return found
