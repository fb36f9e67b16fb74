"""Our weights as a plain state dict of torch, for programs that know no vf, and back."""

from __future__ import annotations

from pathlib import Path

import torch

from vf.engine.checkpoint import load_into, read_weights, save_weights
from vf.errors import RunError
from vf.foreign import read_foreign
from vf.prediction_files import aside
from vf.recipes import from_text
from vf.runs import find_weights


def write_plain(reference: str, out: Path) -> str:
    """Write the weights of a run, a checkpoint or ``model.safetensors`` as a mapping of names to tensors.

    ``torch.load(out, weights_only=True)`` reads it. Classes and recipe are left out.

    Returns:
        what was done, in a line.

    Raises:
        CheckpointError: there are no weights of ours.
        RunError: ``out`` exists, or the disk refuses.
    """
    _refuse(out)
    weights = read_weights(find_weights(reference))
    with aside(out) as fresh, fresh.open("wb") as file:
        torch.save(weights.tensors, file)
    return f"wrote {out}: {len(weights.tensors)} tensors by name, without recipe and classes"


def read_plain(file: Path, out: Path, *, like: str) -> str:
    """Write ``out``, a model.safetensors, of a state dict whose names are ours, alone or under a key.

    Args:
        file: of torch or safetensors; tensors and plain data alone are read.
        out: ends in .safetensors.
        like: a run or checkpoint with the recipe and the classes of the weights.

    Returns:
        what was done, in a line.

    Raises:
        CheckpointError: the file is not readable, or its tensors are not all that the model has.
        RunError: ``out`` exists, or the disk refuses.
    """
    _refuse(out)
    known = read_weights(find_weights(like))
    model = from_text(known.recipe, f"recipe in {like}").recipe.model.build(known.info)
    foreign = read_foreign(file)
    load_into(model, foreign.tensors, file)
    with aside(out) as fresh:
        save_weights(model, fresh, recipe=known.recipe, info=known.info)
    return f"wrote {out}: {len(foreign.tensors)} tensors, with the recipe and the classes of {like}"


def _refuse(out: Path) -> None:
    if out.exists():
        raise RunError(f"{out}: exists; choose another name")
