"""One checkpoint of two: a model that finds text and one that reads words become a spotter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from vf.engine.checkpoint import Weights, read_weights, save_tensors
from vf.errors import ConfigError, RunError
from vf.prediction_files import aside
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, from_text
from vf.runs import find_weights
from vf_ocr.charsets import described
from vf_ocr.detection_configs import TextDetector
from vf_ocr.spotter_configs import Spotter


@attrs.frozen
class Part:
    """A model as it was saved."""

    path: Path
    weights: Weights
    resolved: Resolved


def joined(detector: str, recogniser: str, out: Path) -> tuple[str, ...]:
    """Write ``out``, the spotter of two checkpoints; return lines that say what it is.

    Args:
        detector: run, checkpoint or file of a model that finds text; of a spotter, its detector is taken.
        recogniser: likewise of one that reads words.
        out: the file.

    Raises:
        ConfigError: one of them is no model of its kind, or ``out`` is no .safetensors.
        RunError: ``out`` is there already.
    """
    check_free(out, "--out")
    finds, reads = read_part(detector), read_part(recogniser)
    found, eye = _model(finds, "detector")
    read, mouth = _model(reads, "recogniser")
    _check(finds.path, found, reads, read)
    own = finds.resolved.plain()["model"], reads.resolved.plain()["model"]
    models = [plain[key] if plain["name"] == "spotter" else plain for plain, key in zip(own, KEYS, strict=True)]
    recipe = {**finds.resolved.plain(), "model": {"name": "spotter", **dict(zip(KEYS, models, strict=True))}}
    recipe["metrics"] = [{"name": "hmean"}, {"name": "hmean", "transcription": True}]
    tensors = {f"detector.{name}": t for name, t in tensors_below(finds.weights, eye).items()}
    tensors |= {f"recogniser.{name}": t for name, t in tensors_below(reads.weights, mouth).items()}
    classes = reads.weights.info.classes
    info = attrs.evolve(finds.weights.info, classes=classes, notes=(), palette=None, category_ids=())
    write(tensors, recipe, info, out)
    return (
        f"finds  {type(found).__name__}, {finds.path}",
        f"reads  {type(read).__name__}, {reads.path}: {described(classes)}",
        f"wrote  {out}: {len(tensors)} tensors",
        f"next   vf run infer {out} IMAGE_OR_FOLDER",
    )


KEYS = ("detector", "recogniser")


def check_free(out: Path, option: str) -> None:
    """Raise ConfigError where a file is named as no checkpoint is, RunError where it is there already."""
    if out.suffix != ".safetensors":
        raise ConfigError(f"{option} {out}: expected a name that ends with .safetensors")
    if out.exists():
        raise RunError(f"{option} {out}: exists; choose another name")


def read_part(reference: str) -> Part:
    """Read what a run, a checkpoint or a file holds."""
    path = find_weights(reference)
    weights = read_weights(path)
    return Part(path, weights, from_text(weights.recipe, f"recipe in {path}"))


def _model(part: Part, key: str) -> tuple[Any, str]:
    """Return the config of a model, and what the names of its tensors begin with."""
    model: Any = part.resolved.recipe.model
    return (getattr(model, key), f"{key}.") if isinstance(model, Spotter) else (model, "")


def tensors_below(weights: Weights, prefix: str) -> dict[str, Any]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): t for name, t in weights.tensors.items() if name.startswith(prefix)}


def _check(place: Path, found: Any, reads: Part, read: Any) -> None:
    """Refuse what cannot find text, and what cannot read."""
    from vf_ocr.recognition_configs import READERS

    if not isinstance(found, TextDetector):
        kind = "reads words; put it second" if isinstance(found, READERS) else "does not find text"
        raise ConfigError(f"{place}: its model {type(found).__name__} {kind}; expected dbnet or another detector first")
    if not isinstance(read, READERS):
        kind = "finds text" if isinstance(read, TextDetector) else "does not read words"
        raise ConfigError(f"{reads.path}: its model {type(read).__name__} {kind}; expected crnn or another that reads")
    long = [name for name in reads.weights.info.classes if len(name) != 1]
    if long:
        raise ConfigError(f"{reads.path}: its class {long[0]!r} is no character; expected a model that reads words")


def write(tensors: dict[str, Any], recipe: dict[str, Any], info: DatasetInfo, out: Path) -> None:
    """Write a checkpoint with a recipe that was put together, without what changed the training of another model."""
    from vf.yaml12 import dump

    resolved = from_text(dump({**recipe, "augment": [], "callbacks": []}), str(out))
    out.parent.mkdir(parents=True, exist_ok=True)
    with aside(out) as fresh:
        save_tensors(tensors, fresh, recipe=resolved.yaml(), info=info)
