"""``vf convert``: look into a file of weights, and write it as ``model.safetensors`` of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor

from vf.carry import EPS, Carried, Fit, carry, facts_of, foreign_weights, published_eps, try_on
from vf.engine.checkpoint import save_tensors
from vf.errors import CheckpointError, ConfigError, RunError, VFError, listed
from vf.foreign import SOURCES, Foreign
from vf.plugins import plugins
from vf.prediction_files import aside
from vf.protocols import ModelConfig
from vf.recipes import Resolved, resolve
from vf.translation import ForeignWeights
from vf.weights import counted

FITS = 0.9
"""Part of a model's tensors from which on a file is said to be of it."""


@attrs.frozen(kw_only=True)
class Order:
    """What to convert a file to."""

    source: str
    """One of SOURCES."""
    to: str
    """A recipe, or a model, of whose recipes the one that fits best is taken."""
    overrides: tuple[str, ...] = ()
    data: str | None = None
    classes: tuple[str, ...] = ()
    """Names in the order of the file; none: as it or the plugin says."""
    norm_eps: float | None = None


@attrs.frozen
class Converted:
    """What came of it."""

    lines: tuple[str, ...]
    whole: bool
    """Whether the file that was written can predict; if not, a training can start from it."""


def fits(foreign: Foreign, source: str | None) -> list[Fit]:
    """Return how well a file fits the models of all recipes, the best first."""
    return try_on(foreign, _models(), [source] if source else SOURCES)


def _models(kinds: tuple[type[Any], ...] = ()) -> dict[str, ModelConfig]:
    """Return the models of all recipes, or of those with some kinds of model, by the recipes' names."""
    models = {}
    for name in sorted(plugins().recipes):
        try:
            model = resolve(name).recipe.model
        except VFError:
            continue
        if not kinds or type(model) in kinds:
            models[name] = model
    return models


def convert(foreign: Foreign, out: Path, order: Order) -> Converted:
    """Write ``out``, whole or not at all.

    Raises:
        ConfigError: no such recipe, or its model knows no weights of the source.
        CheckpointError: nothing of the file belongs to the model.
        RunError: ``out`` exists, or the disk refuses.
    """
    if out.suffix != ".safetensors":
        raise RunError(f"{out}: expected a name that ends in .safetensors")
    if out.exists():
        raise RunError(f"{out}: exists; choose another name")
    name = _recipe(foreign, order)
    resolved = resolve(name, data=order.data, overrides=order.overrides)
    weights = foreign_weights(resolved.recipe.model, order.source)
    if weights is None:
        return _backbone(foreign, out, order, resolved)
    resolved, lines = _as_theirs(name, resolved, weights, order)
    weights = foreign_weights(resolved.recipe.model, order.source) or weights
    eps = published_eps(foreign, weights) if order.norm_eps is None else order.norm_eps
    if eps != EPS:
        lines.append(f"model batch norms of the file have eps {eps:g}; their variances were changed for ours, {EPS:g}")
    recipe = resolved.recipe
    classes = order.classes or (recipe.data.info().classes if order.data else ())
    carried = carry(foreign, weights, recipe.model.build, task=recipe.task, classes=classes, eps=eps)
    lines = [f"to    {name}, {type(recipe.model).__name__}", *lines, *carried.lines()]
    if not carried.tensors:
        raise CheckpointError(f"{foreign.path}: holds no tensor of {name}; look what it is: vf convert {foreign.path}")
    if carried.whole:
        _write_whole(out, carried, resolved)
        shown = f"{len(carried.info.classes)} classes: {listed(carried.info.classes)}"
        return Converted((*lines, f"wrote {out}: {shown}"), whole=True)
    _write_part(out, carried.tensors)
    return Converted((*lines, f"wrote {out}: a part of the model, to start a training from"), whole=False)


def _recipe(foreign: Foreign, order: Order) -> str:
    """Return the name of the recipe: as given, or of a model that is given the one that fits best."""
    kinds = tuple(c.cls for c in plugins().components("model") if c.name == order.to)
    if not kinds:
        return order.to
    models = _models(kinds)
    found = try_on(foreign, models, [order.source])
    if not found:
        known = f"; recipes with it: {listed(models)}" if models else "; no recipe has it"
        raise ConfigError(f"--to {order.to}: {foreign.path} fits none of its recipes{known}; name a recipe")
    return found[0].recipe


def _as_theirs(name: str, resolved: Resolved, weights: ForeignWeights, order: Order) -> tuple[Resolved, list[str]]:
    """Set the keys with which the numbers are theirs, unless --set says otherwise; return what was changed."""
    given = {item.partition("=")[0].strip() for item in order.overrides}
    wanted = {f"model.{key}": value for key, value in weights.settings.items() if f"model.{key}" not in given}
    if not wanted:
        return resolved, []
    items = tuple(f"{key}={_yaml(value)}" for key, value in wanted.items())
    changed = resolve(name, data=order.data, overrides=(*items, *order.overrides))
    return changed, [f"model set as {order.source}'s weights need it: {', '.join(items)}"]


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _write_whole(out: Path, carried: Carried, resolved: Resolved) -> None:
    model = resolved.recipe.model.build(carried.info)
    model.load_state_dict(carried.tensors, strict=False)
    tensors = {name: tensor.detach().contiguous() for name, tensor in model.state_dict().items()}
    with aside(out) as fresh:
        save_tensors(tensors, fresh, recipe=resolved.yaml(), info=carried.info)


def _write_part(out: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    with aside(out) as fresh:
        save_file(dict(tensors), fresh)


def _backbone(foreign: Foreign, out: Path, order: Order, resolved: Resolved) -> Converted:
    """Write the backbone alone: timm itself brings the names of the file into those of its features."""
    model: Any = resolved.recipe.model
    named = f"{order.to}: its model {type(model).__name__.lower()}"
    if order.source != "timm" or not hasattr(model, "backbone"):
        raise ConfigError(f"--to {named} knows no weights of {order.source}")
    if type(model.backbone).__name__ != "Timm":
        raise ConfigError(
            f"--to {named} has another backbone; timm's weights go into timm's nets: "
            "--set 'model.backbone={name: timm, net: NAME}'"
        )
    lines: list[str] = []
    backbone = attrs.evolve(model.backbone, pretrained=str(foreign.path)).build()
    torch.nn.Module.eval(backbone)
    backbone.load_pretrained(lines.append)
    tensors = {f"backbone.{n}": t.detach().contiguous() for n, t in backbone.state_dict().items()}
    _write_part(out, tensors)
    line = f"wrote {out}: {len(counted(tensors))} tensors of the backbone, to start a training from"
    return Converted((f"to    {order.to}, backbone alone", *lines, line), whole=False)


def next_steps(out: Path, to: str, *, whole: bool) -> Sequence[str]:
    """Say what to type next."""
    if whole:
        return (f"next  vf run test {out}", f"      vf run infer {out} IMAGE_OR_FOLDER")
    return (f"next  vf run train {to} --init-from {out} --allow-partial",)


__all__ = ["Converted", "Order", "convert", "facts_of", "fits", "next_steps"]
