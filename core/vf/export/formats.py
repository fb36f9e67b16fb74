"""Files of graphs: how each is written, and opened again to be compared with what it was made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

from vf.errors import SetupError
from vf.export.graph import Network, example, quiet, refusing, traced
from vf.export.run import Graph, OnnxGraph, TorchGraph
from vf.export.spec import IMAGES, SIZES, Spec
from vf.nn.frame import Frame

SUFFIXES = {"onnx": ".onnx", "torchscript": ".ts", "torch_export": ".pt2"}
"""Of each format."""


LARGE = 1500
"""Nodes of a graph from which on folding its constants is left to who runs it: it takes minutes here."""


@attrs.frozen(kw_only=True)
class Shape:
    """What a graph shall take."""

    frame: Frame
    batch: int | None
    opset: int


Describe = Callable[[tuple[str, ...]], Spec]
"""Takes the names of the outputs."""


def write(model: nn.Module, path: Path, format_: str, shape: Shape, describe: Describe) -> None:
    """Write a model in evaluation mode on the CPU.

    Raises:
        SetupError: a library is missing.
        ConfigError: the model cannot be made a graph.
    """
    {"onnx": _onnx, "torchscript": _torchscript, "torch_export": _torch_export}[format_](model, path, shape, describe)


def open_written(path: Path, format_: str, spec: Spec) -> Graph:
    """Open what :func:`write` wrote in this very process; of others' files, only ONNX is opened (`vf.export.load`)."""
    if format_ == "onnx":
        return OnnxGraph(path)
    with quiet():
        if format_ == "torchscript":
            return TorchGraph(torch.jit.load(path), spec)
        return TorchGraph(torch.export.load(path).module(), spec)


def need_onnx(what: str) -> None:
    """Raise SetupError where something is not installed that writes or runs ONNX."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            raise SetupError(f"{what}: {name} is not installed; pip install 'vf-core[export]'") from None


def _names(model: nn.Module, shape: Shape) -> tuple[str, ...]:
    with torch.no_grad():
        return tuple(Network(model)(*example(shape.frame, shape.batch)))


def _onnx(model: nn.Module, path: Path, shape: Shape, describe: Describe) -> None:
    names = _names(model, shape)
    program = traced(model, shape.frame, shape.batch)
    with quiet(), torch.no_grad(), refusing(model, shape.frame, shape.batch):
        made = torch.onnx.export(
            program,
            input_names=[IMAGES, SIZES],
            output_names=list(names),
            opset_version=shape.opset,
            dynamo=True,
            verbose=False,
            optimize=len(program.graph.nodes) < LARGE,
        )
    assert made is not None
    graph: Any = made.model
    _drop_unused(graph)
    _name_sides(graph, shape)
    graph.metadata_props.clear()
    graph.metadata_props.update(describe(names).metadata())
    made.save(str(path))


def _drop_unused(graph: Any) -> None:
    """Take inputs away that nothing in the graph asks for."""
    for value in list(graph.graph.inputs):
        if not value.uses():
            graph.graph.inputs.remove(value)


def _name_sides(graph: Any, shape: Shape) -> None:
    """Give the open sides of the inputs names that say what they are."""
    import onnx_ir

    renamed: dict[str, str] = {}
    for value in graph.graph.inputs:
        for place, name in ((0, "batch"), (2, "height"), (3, "width")):
            if (
                place < len(value.shape)
                and isinstance(value.shape[place], onnx_ir.SymbolicDim)
                and value.name == IMAGES
            ):
                renamed[str(value.shape[place].value)] = name
    for value in (*graph.graph.inputs, *graph.graph.outputs):
        for place, side in enumerate(value.shape or ()):
            if isinstance(side, onnx_ir.SymbolicDim):
                value.shape[place] = renamed.get(str(side.value), str(side.value))


def _torch_export(model: nn.Module, path: Path, shape: Shape, describe: Describe) -> None:
    names = _names(model, shape)
    program = traced(model, shape.frame, shape.batch)
    with quiet():
        torch.export.save(program, path, extra_files=describe(names).metadata())


def _torchscript(model: nn.Module, path: Path, shape: Shape, describe: Describe) -> None:
    names = _names(model, shape)
    images, sizes = example(shape.frame, shape.batch)
    with quiet(), torch.no_grad(), refusing(model, shape.frame, shape.batch):
        module = torch.jit.trace(Network(model), (images, sizes), strict=False, check_trace=False)
        module.save(str(path), _extra_files=describe(names).metadata())
