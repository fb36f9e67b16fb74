"""A network without what Python does after it, as one graph of fixed or open shapes."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from vf.errors import ConfigError
from vf.export.spec import IMAGES, SIZES
from vf.nn.frame import Frame, Side

AROUND = 256
"""Sides of the example, px, where the network does not say which."""
MOST_STEPS = 4096
MOST_IMAGES = 1024


class Network(nn.Module):
    """What of a model becomes a graph.

    Args:
        model: in evaluation mode; see ``raw`` of `vf.protocols.Model`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Pixels uint8 [B,3,H,W], and int64 [B,2], to named tensors."""
        model: Any = self.model
        out: dict[str, Tensor] = model.raw(images, sizes)
        return out


def example(frame: Frame, batch: int | None, *, other: bool = False) -> tuple[Tensor, Tensor]:
    """Return images and sizes to trace with: of fixed sides these, of open ones some that differ from each other.

    Args:
        frame: which there may be.
        batch: how many images; None: any number.
        other: where there is a choice, another one.
    """
    height, width = _length(frame.height, 0, other=other), _length(frame.width, 2, other=other)
    count = batch or (3 if other else 2)
    images = torch.randint(0, 256, (count, 3, height, width), generator=torch.Generator().manual_seed(0))
    sizes = torch.tensor([[height, max(1, width - 3)]] * count)
    return images.to(torch.uint8), sizes


def _length(side: Side, more: int, *, other: bool) -> int:
    if side.fixed:
        return side.least
    steps = max(-(-side.least // side.step), AROUND // side.step) + more + (3 if other else 0)
    length = steps * side.step
    if side.most is None or length <= side.most:
        return length
    return max(side.least, side.most - side.step) if other else side.most


def traced(model: nn.Module, frame: Frame, batch: int | None) -> ExportedProgram:
    """Return the graph of a model in evaluation mode on the CPU.

    Args:
        model: has a method ``raw``.
        frame: heights and widths that it shall take.
        batch: images that it shall take at once; None: any number.

    Raises:
        ConfigError: it cannot be traced so.
    """
    images, sizes = example(frame, batch)
    many = None if batch else Dim("batch", min=1, max=MOST_IMAGES)
    shape = {0: many, 2: _dim("height", frame.height), 3: _dim("width", frame.width)}
    shapes = {IMAGES: {k: v for k, v in shape.items() if v is not None}, SIZES: {0: many} if many else {}}
    with quiet(), torch.no_grad(), refusing(model, frame, batch):
        program = torch.export.export(Network(model), (images, sizes), dynamic_shapes=shapes, strict=False)
        if batch is None or frame.size is None:
            # Of loops over a side, as in an LSTM, torch keeps what the example has, and says so at run time alone.
            program.module()(*example(frame, batch, other=True))
        return program


def _dim(name: str, side: Side) -> Any:
    if side.fixed:
        return None
    most = side.most // side.step if side.most else MOST_STEPS
    steps = Dim(f"{name}_steps", min=-(-side.least // side.step), max=most)
    return steps if side.step == 1 else side.step * steps


@contextlib.contextmanager
def refusing(model: nn.Module, frame: Frame, batch: int | None) -> Iterator[None]:
    """Turn what the tracers of torch raise into a line that says what else to try."""
    try:
        yield
    except Exception as error:  # they raise errors of many kinds, none of them documented
        first: BaseException = error  # the others around it say in which step of theirs
        while first.__cause__ is not None:
            first = first.__cause__
        said = next((line.strip() for line in str(first).splitlines() if line.strip()), type(first).__name__)
        ways = [] if frame.size else ["--size H W"]
        ways += [] if batch else ["--dynamic none"]
        cure = f"; try {' '.join(ways)}" if ways else ""
        raise ConfigError(f"{type(model).__name__}: torch cannot make a graph of it: {said[:160]}{cure}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what torch's exporters print and log about themselves."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
