"""Two checkpoints of one: what a spotter finds text with, and what it reads words with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from vf.errors import ConfigError
from vf.protocols import DatasetInfo
from vf_ocr.charsets import CHARSETS, described
from vf_ocr.spotter.join import Part, check_free, read_part, tensors_below, write
from vf_ocr.spotter_configs import Spotter


def split(spotter: str, detector: Path, recogniser: Path) -> tuple[str, ...]:
    """Write the detector and the recogniser of a spotter as models of their own; return lines that say what they are.

    The recipe of the detector has the spotter's data, without their characters; that of the recogniser has generated
    words, as words are not cut out of pages outside of a spotter.

    Args:
        spotter: run, checkpoint or file.
        detector: file for one, not there yet.
        recogniser: file for the other.

    Raises:
        ConfigError: it is no spotter, or one of the files is no .safetensors.
        RunError: one of the files is there already.
    """
    check_free(detector, "--detector")
    check_free(recogniser, "--recogniser")
    part = read_part(spotter)
    if not isinstance(part.resolved.recipe.model, Spotter):
        kind = type(part.resolved.recipe.model).__name__
        raise ConfigError(f"{part.path}: its model {kind} is one network; expected a spotter, as ocr/quickstart trains")
    info = part.weights.info
    finds = attrs.evolve(info, classes=("text",), notes=(), palette=None, category_ids=())
    reads = attrs.evolve(info, notes=(), palette=None, category_ids=())
    _write(part, "detector", finds, _finding(part), detector)
    _write(part, "recogniser", reads, _reading(part), recogniser)
    model = part.resolved.plain()["model"]
    return (
        f"finds  {model['detector']['name']}: {detector}",
        f"reads  {model['recogniser']['name']}: {recogniser}: {described(info.classes)}",
        f"next   vf run export {detector} --images PAGES",
        f"       vf run export {recogniser} --images WORDS",
    )


def _finding(part: Part) -> dict[str, Any]:
    data = part.resolved.plain()["data"]
    return {"data": {**data, "charset": ""} if "charset" in data else data, "metrics": [{"name": "hmean"}]}


def _reading(part: Part) -> dict[str, Any]:
    own = frozenset(part.weights.info.classes)
    name = next((name for name, characters in CHARSETS.items() if own <= frozenset(characters)), "latin")
    return {"data": {"name": "words", "charset": name}, "metrics": [{"name": "word_accuracy"}]}


def _write(part: Part, key: str, info: DatasetInfo, parts: dict[str, Any], out: Path) -> None:
    plain = part.resolved.plain()
    recipe = {**plain, **parts, "model": plain["model"][key]}
    write(tensors_below(part.weights, f"{key}."), recipe, info, out)
