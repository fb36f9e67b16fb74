"""``vf run export``: write a model as a file that runs elsewhere, and compare the two before it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import nn

import vf
from vf.console import Console, megabytes
from vf.data.collate import Collate
from vf.data.decode import decode
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.engine.build import preprocess_of, validation_split
from vf.engine.checkpoint import load_into, read_weights
from vf.errors import ConfigError, DataError, RunError
from vf.export.formats import SUFFIXES, Shape, need_onnx, open_written, write
from vf.export.images import image_files
from vf.export.load import fix_size
from vf.export.parity import Parity, compare
from vf.export.spec import Spec
from vf.nn.frame import Frame
from vf.orders import ExportOrder
from vf.prediction_files import aside
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, from_text
from vf.runs import find_weights

OPSET = 18
"""The least that torch writes."""
AT_ONCE = 4
"""Images of a batch of the comparison, where the graph takes any number."""


@attrs.frozen
class Made:
    """A file that was written and compared."""

    path: Path
    parity: Parity


def export(asked: ExportOrder, console: Console) -> Made:
    """Write the file, whole and compared with the model, or not at all.

    Raises:
        SetupError: onnx or onnxruntime is not installed.
        ConfigError: the model cannot be exported, or not so.
        CheckpointError: the weights cannot be used.
        DataError: there are no images to compare on.
        RunError: the file exists, or what it says is not what the model says; nothing is left of it then.
    """
    path = _free(asked)
    if asked.format == "onnx":
        need_onnx(f"--format {asked.format}")
    weights = read_weights(find_weights(asked.checkpoint))
    resolved = from_text(weights.recipe, f"recipe in {asked.checkpoint}", data=asked.data, overrides=asked.overrides)
    model: Any = resolved.recipe.model.build(weights.info)
    _refuse_unfit(model)
    load_into(model, weights.tensors, find_weights(asked.checkpoint))
    model = model.eval()
    shape = shaped(model, asked)
    samples = list(_samples(asked, resolved))
    console.say(f"model {asked.checkpoint}: {type(model).__name__}; {_said(shape)}")
    with aside(path) as fresh:
        return _written(asked, model, fresh, path, shape, (resolved, weights.info, samples), console)


def _written(
    asked: ExportOrder,
    model: Any,
    fresh: Path,
    path: Path,
    shape: Shape,
    around: tuple[Resolved, DatasetInfo, Sequence[Sample]],
    console: Console,
) -> Made:
    resolved, info, samples = around

    def described(outputs: tuple[str, ...]) -> Spec:
        return spec_of(model, shape, outputs, recipe=resolved.yaml(), info=info)

    write(model, fresh, asked.format, shape, described)
    graph = open_written(fresh, asked.format, described(()))
    parity = compare(model, graph, batches_of(model, samples, shape.batch))
    if not parity.good:
        raise RunError(f"{path}: not written: the graph does not say what the model says: {parity.text()}")
    console.say(f"same  {parity.text()}")
    console.say(f"wrote {path}: {asked.format}, {megabytes(fresh.stat().st_size)}")
    return Made(path, parity)


def _free(asked: ExportOrder) -> Path:
    """Return where to write."""
    suffix = SUFFIXES[asked.format]
    place = Path(asked.checkpoint)
    path = Path(asked.out) if asked.out else Path(f"{place.resolve().name if place.is_dir() else place.stem}{suffix}")
    if path.suffix != suffix:
        raise RunError(f"--out {asked.out}: expected a name that ends in {suffix} for --format {asked.format}")
    if path.exists():
        raise RunError(f"{path}: exists; choose another --out")
    return path


def _refuse_unfit(model: Any) -> None:
    why = getattr(model, "not_exported", "")
    if why:
        raise ConfigError(f"{type(model).__name__}: cannot be exported: {why}")
    if not hasattr(model, "raw") or not hasattr(preprocess_of(model), "frame"):
        raise ConfigError(
            f"{type(model).__name__}: cannot be exported: it has no method 'raw' (see vf.protocols.Model)"
        )


def shaped(model: Any, asked: ExportOrder) -> Shape:
    """Decide which shapes the graph takes, and let the model's image rules follow."""
    if asked.size is not None:
        fix_size(model, asked.size)
    frame: Frame = model.preprocess.frame
    open_ = asked.dynamic if asked.dynamic is not None else ("batch",)
    if frame.size is None and asked.dynamic is not None and "size" not in asked.dynamic:
        raise ConfigError(
            f"--dynamic {','.join(asked.dynamic) or 'none'}: this model takes images of many sizes; say which one with "
            "--size H W, or add size to --dynamic"
        )
    if frame.size is not None and "size" in open_:
        height, width = frame.size
        raise ConfigError(f"--dynamic size: this network takes images of {height}×{width} px (height × width) alone")
    return Shape(frame=frame, batch=None if "batch" in open_ else asked.batch, opset=_opset(model, asked))


def _opset(model: nn.Module, asked: ExportOrder) -> int:
    least: int = max(getattr(module, "onnx_opset", OPSET) for module in model.modules())
    if asked.opset is not None and asked.opset < least:
        raise ConfigError(f"--opset {asked.opset}: ONNX has all operators of this model since {least}; leave it out")
    return asked.opset or least


def _said(shape: Shape) -> str:
    sides = [
        str(side.least) if side.fixed else f"any multiple of {side.step}" if side.step > 1 else "any"
        for side in (shape.frame.height, shape.frame.width)
    ]
    size = f"{sides[0]}×{sides[1]} px" if shape.frame.size else f"height: {sides[0]}, width: {sides[1]} px"
    return f"{shape.batch or 'any number of'} images at once, {size}"


def spec_of(model: Any, shape: Shape, outputs: tuple[str, ...], *, recipe: str, info: DatasetInfo) -> Spec:
    """Say what a file of this model is."""
    rules = model.preprocess
    return Spec(
        recipe=recipe,
        info=info,
        versions={"vf": vf.__version__, "torch": torch.__version__},
        frame=shape.frame,
        batch=shape.batch,
        pad_value=rules.pad_value,
        outputs=outputs,
        preprocess=rules.described(),
    )


def _samples(asked: ExportOrder, resolved: Resolved) -> Iterator[Sample]:
    """Yield images to compare on: those that were named, else some of the data's, spread evenly over the split."""
    if asked.images:
        for path in image_files(asked.images)[: asked.check]:
            yield Sample(decode(path), {}, str(path))
        return
    try:
        data = resolved.recipe.data
        split = validation_split(data.info())
        dataset = data.build(split)
    except DataError as error:
        raise DataError(
            f"{error.problems[0]}; the file is compared with the model on images: name some with --images FOLDER, or "
            "the data with --data PATH"
        ) from None
    count = min(asked.check, len(dataset))
    for place in range(count):
        sample = dataset[place * len(dataset) // count]
        yield attrs.evolve(sample, target={})


def batches_of(model: Any, samples: Sequence[Sample], batch: int | None) -> list[Batch]:
    """Return batches as a prediction has them; where any number goes into the graph, the last image comes alone."""
    rules = preprocess_of(model)
    fitted = [Fitted(rules.fit(sample, with_target=False), sample.size) for sample in samples]
    collate, step = Collate(fill=rules.pad_value), batch or AT_ONCE
    groups = [fitted[:-1][i : i + step] for i in range(0, len(fitted) - 1, step)] + [fitted[-1:]]
    batches = [collate(group) for group in groups if group]
    return [made for made in batches if isinstance(made, Batch)]


def as_json(made: Made) -> str:
    """Return what was made as one object."""
    parity = made.parity
    return json.dumps(
        {
            "file": str(made.path),
            "images": parity.images,
            "outputs": parity.differences,
            "same": {key: [parity.same[key], total] for key, total in parity.total.items()},
        }
    )
