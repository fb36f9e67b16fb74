"""An exported file as a model: its graph in the place of the network, the model's own Python after it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from vf.engine.precision import pick_device
from vf.errors import CheckpointError
from vf.export.run import OnnxGraph, providers
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, from_text

REFUSED = {
    ".ts": "a TorchScript archive holds programs and a pickle",
    ".pt2": "an archive of torch.export may hold pickles, which torch falls back to",
}
"""What is not opened, and why."""


@attrs.frozen
class Exported:
    """A model that is ready to predict, with the facts that came with its graph."""

    model: nn.Module
    """In evaluation mode; its ``preprocess`` fits images to the graph."""
    resolved: Resolved
    info: DatasetInfo


def is_exported(path: str | Path) -> bool:
    """Whether the name is that of a file of ``vf run export``."""
    return Path(path).suffix in (".onnx", *REFUSED)


def graph_device(wanted: str) -> torch.device:
    """Return the device for ``auto`` (a GPU where onnxruntime sees one too), ``cpu``, ``cuda`` or ``cuda:N``."""
    if wanted == "auto" and "CUDAExecutionProvider" not in providers():
        return torch.device("cpu")
    return pick_device(wanted)


def load_exported(
    path: str | Path,
    device: str | torch.device = "cpu",
    *,
    precision: str = "fp32",
    data: str | None = None,
    overrides: tuple[str, ...] = (),
) -> Exported:
    """Open ``model.onnx``: what is in the file is enough, recipe and classes too.

    Args:
        path: the file.
        device: where onnxruntime runs.
        precision: fp32, which graphs are written in.
        data: folder in the place of the recipe's data.
        overrides: ``--set`` items, of what is not in the graph: thresholds, metrics, data.

    Raises:
        CheckpointError: it is missing, broken, of another program, or of a form that is not opened.
        SetupError: onnxruntime is missing, or has no GPU.
    """
    path = Path(path)
    if path.suffix in REFUSED:
        raise CheckpointError(
            f"{path}: {REFUSED[path.suffix]}, so vf writes such files and does not open them; export --format onnx for "
            "vf, and open this one with torch where you trust it"
        )
    if precision not in ("fp32", "auto"):
        raise CheckpointError(f"{path}: precision {precision!r}: exported graphs compute in fp32; leave it out")
    graph = OnnxGraph(path, torch.device(device))
    spec = graph.spec
    resolved = from_text(spec.recipe, f"recipe in {path}", data=data, overrides=overrides)
    model: Any = resolved.recipe.model.build(spec.info).eval()
    if spec.frame.size is not None:
        fix_size(model, spec.frame.size)
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)  # the graph has them
    model.raw = graph
    model.explain = None  # what speaks for an answer is asked of the network, which is not there
    return Exported(model, resolved, spec.info)


def fix_size(model: Any, size: tuple[int, int]) -> None:
    """Let a model's image rules bring all images to one size; ConfigError where its network takes another."""
    own = getattr(model, "fix_size", None)
    if own is not None:
        own(size)
    else:
        model.preprocess = model.preprocess.fixed(size)
