"""Contract tests: what the tests of a plugin call, and what every component of ours passes too.

Each function raises AssertionError with a sentence that says what is broken and where.
"""

from __future__ import annotations

import copy
import math
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import nn
from torchvision import tv_tensors

from vf import hookspecs
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.orders import ExportOrder, Format
from vf.protocols import (
    SPLITS,
    BackboneConfig,
    DatasetConfig,
    DatasetInfo,
    Metric,
    MetricConfig,
    ModelConfig,
    Preprocess,
    TransformConfig,
)

if TYPE_CHECKING:
    from vf.export.parity import Parity
    from vf.export.spec import Spec

INFO = DatasetInfo(classes=("a", "b", "c"), task="det", num_samples={"train": 4, "val": 2}, fingerprint="0")
"""Facts of a made-up data set with three classes."""
HEAVY = ("torch", "numpy", "cv2", "torchvision")


def check_plugin(module: ModuleType) -> None:
    """Hooks are spelt right and give config classes that explain themselves; importing it imports nothing heavy."""
    hooks = [name for name in vars(module) if name.startswith("vf_") and callable(getattr(module, name))]
    specs = [name for name in vars(hookspecs) if name.startswith("vf_")]
    assert hooks, f"{module.__name__}: implements no hook; expected one of {', '.join(specs)}"
    for name in hooks:
        assert name in specs, f"{module.__name__}.{name}: no such hook; known: {', '.join(specs)}"
        if name in ("vf_recipes", "vf_commands"):
            continue
        for component, cls in getattr(module, name)().items():
            check_config(cls, component)
    probe = f"import sys, {module.__name__}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{module.__name__}: cannot be imported by itself: {done.stderr.strip()[-300:]}"
    assert done.stdout.strip() == "[]", (
        f"{module.__name__}: importing it imports {done.stdout.strip()}; import in build()"
    )


def check_config(cls: type[Any], name: str) -> None:
    """A config class is frozen, has ``build()``, a docstring, and a line of help for each key."""
    assert attrs.has(cls), f"{name}: {cls.__qualname__} is not made with @vf.config"
    assert cls.__setattr__ is not object.__setattr__, f"{name}: {cls.__qualname__} is not frozen; use @vf.config"
    assert callable(getattr(cls, "build", None)) or callable(getattr(cls, "launch", None)), f"{name}: has no build()"
    assert (cls.__doc__ or "").strip(), f"{name}: {cls.__qualname__} has no docstring; 'vf list' shows its first line"
    for field in attrs.fields(cls):
        assert field.metadata.get("help"), f"{name}: key {field.name!r} has no help; declare it with vf.field"


def detection_batch(preprocess: Preprocess, *, boxes: tuple[int, ...] = (2, 0)) -> Batch:
    """Return a batch of random images 48×64, with so many boxes on each, as a training would see it."""
    generator = torch.Generator().manual_seed(0)
    fitted = []
    for i, count in enumerate(boxes):
        corner = torch.rand(count, 2, generator=generator) * torch.tensor([30.0, 20.0])
        xyxy = torch.cat([corner, corner + 20], 1)
        target = {
            "boxes": tv_tensors.BoundingBoxes(xyxy, format="XYXY", canvas_size=(48, 64)),
            "labels": torch.arange(count) % len(INFO.classes),
        }
        pixels = torch.randint(0, 256, (3, 48, 64), dtype=torch.uint8, generator=generator)
        sample = Sample(tv_tensors.Image(pixels), target, str(i))
        fitted.append(Fitted(preprocess.fit(sample, with_target=True), (48, 64)))
    batch = Collate(fill=preprocess.pad_value)(fitted)
    assert isinstance(batch, Batch)
    return batch


def check_detector(config: ModelConfig) -> None:
    """A detector trains on images with and without objects, and predicts in the frame of the decoded image."""
    torch.manual_seed(0)
    model = config.build(INFO)
    assert isinstance(model, nn.Module), f"build() gives {type(model).__name__}, expected an nn.Module"
    preprocess = getattr(model, "preprocess", None)
    assert preprocess is not None, "the model has no attribute 'preprocess'; see vf.nn.preprocess.Letterbox"
    for boxes in ((2, 1), (2, 0), (0, 0)):
        _check_losses(model.train(), detection_batch(preprocess, boxes=boxes), boxes)
    batch = detection_batch(preprocess)
    with torch.no_grad():
        predictions = model.eval()(batch)
    assert len(predictions) == len(batch), f"{len(predictions)} predictions for {len(batch)} images"
    for prediction in predictions:
        _check_detections(prediction)
    pickle.dumps(copy.deepcopy(preprocess))


def check_backbone(config: BackboneConfig, *, size: tuple[int, int] = (64, 96)) -> None:
    """Levels are what ``channels`` and ``strides`` say, train, and leave alone what is frozen, statistics too."""
    torch.manual_seed(0)
    backbone = config.build()
    assert isinstance(backbone, nn.Module), f"build() gives {type(backbone).__name__}, expected an nn.Module"
    assert callable(getattr(backbone, "load_pretrained", None)), "the backbone has no method load_pretrained(tell)"
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    images = torch.randn(2, 3, *size)
    levels = backbone.train()(images)
    assert isinstance(levels, tuple), f"forward gives {type(levels).__name__}, expected a tuple of levels"
    _check_levels(levels, backbone, size)
    sum(level.square().mean() for level in levels).backward()
    _check_gradients(backbone, before)
    with torch.no_grad():
        first, second = backbone.eval()(images), copy.deepcopy(backbone)(images)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True)), "a copy in eval mode gives other levels"


def _check_levels(levels: tuple[torch.Tensor, ...], backbone: nn.Module, size: tuple[int, int]) -> None:
    channels, strides = getattr(backbone, "channels", ()), getattr(backbone, "strides", ())
    assert len(channels) == len(strides) == len(levels), (
        f"{len(levels)} levels for {len(channels)} channels and {len(strides)} strides"
    )
    assert list(strides) == sorted(strides), f"strides are not to fall, got {strides}"
    for level, width, stride in zip(levels, channels, strides, strict=True):
        expected = (2, width, *(math.ceil(side / stride) for side in size))
        assert tuple(level.shape) == expected, f"stride {stride}: shape {tuple(level.shape)}, expected {expected}"
        assert level.isfinite().all(), f"stride {stride}: not all values are finite"


def _check_gradients(backbone: nn.Module, before: dict[str, torch.Tensor]) -> None:
    """Every parameter that trains gets a gradient; with it, parts without one that trains are as before."""
    unused = [name for name, p in backbone.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f"parameters without a gradient, over which processes would wait: {', '.join(unused[:4])}"
    for name, module in backbone.named_modules():
        own = list(module.parameters(recurse=False))
        if own and not any(p.requires_grad for p in own):
            for key, tensor in module.state_dict(prefix=f"{name}.").items():
                assert torch.equal(tensor, before[key]), f"{key} changed in training, though {name} is frozen"


def _check_losses(model: nn.Module, batch: Batch, boxes: tuple[int, ...]) -> None:
    model.zero_grad()
    losses = model(batch)
    assert isinstance(losses, dict), f"forward in training gives {type(losses).__name__}, expected losses by name"
    assert losses, "forward in training gives no losses"
    for name, value in losses.items():
        assert value.ndim == 0, f"loss {name!r} has shape {tuple(value.shape)}, expected a scalar"
        assert math.isfinite(value.item()), f"loss {name!r} is {value.item()} for images with {boxes} objects"
    sum(value for name, value in losses.items() if not name.startswith("_")).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads, "no parameter got a gradient"
    assert all(g.isfinite().all() for g in grads), f"a gradient is not finite for images with {boxes} objects"


def _check_detections(prediction: dict[str, torch.Tensor]) -> None:
    for key in ("boxes", "scores", "labels"):
        assert key in prediction, f"a prediction has no {key!r}; it has {', '.join(prediction)}"
    boxes, scores, labels = prediction["boxes"], prediction["scores"], prediction["labels"]
    assert boxes.device.type == "cpu", "predictions are to be on the CPU"
    assert boxes.shape == (len(scores), 4), f"boxes have shape {tuple(boxes.shape)} for {len(scores)} scores"
    assert ((scores >= 0) & (scores <= 1)).all(), "scores are to be in 0..1"
    assert ((labels >= 0) & (labels < len(INFO.classes))).all(), "labels are to be class indices"
    limit = torch.tensor([64.0, 48, 64, 48])
    assert ((boxes >= 0) & (boxes <= limit)).all(), "boxes are to lie inside the image as decoded (64×48 here)"
    assert (boxes[:, 2:] >= boxes[:, :2]).all(), "boxes are to be x1, y1, x2, y2"


def check_exported(
    model: nn.Module,
    batches: Callable[[Any], Sequence[Batch]],
    folder: Path,
    *,
    format: Format = "torch_export",
    **order: Any,
) -> Parity:
    """A graph of the model in evaluation mode says what the model says of the batches; return the comparison.

    Args:
        model: see ``raw`` of `vf.protocols.Model`.
        batches: takes its ``preprocess`` and gives what that fitted, of several sizes where it takes several.
        folder: for the file.
        format: of it; those of torch are made faster than ONNX.
        order: further keys of `vf.orders.ExportOrder`.
    """
    from vf.export.formats import SUFFIXES, open_written, write
    from vf.export.parity import compare
    from vf.export.write import shaped, spec_of

    model = model.eval()
    shape = shaped(model, ExportOrder(checkpoint="model", format=format, **order))
    path = folder / f"model{SUFFIXES[format]}"

    def described(outputs: tuple[str, ...]) -> Spec:
        return spec_of(model, shape, outputs, recipe="task: test\n", info=INFO)

    write(model, path, format, shape, described)
    parity = compare(model, open_written(path, format, described(())), batches(model.preprocess))
    assert parity.good, f"{type(model).__name__}: the graph does not say what the model says: {parity.text()}"
    return parity


def check_dataset(config: DatasetConfig, *, most: int = 4) -> None:
    """Facts and samples agree; samples are uint8 RGB with targets of one length; it can be pickled."""
    info = config.info()
    assert info.classes, "info() names no class"
    assert info.num_samples, "info() names no split"
    for split, count in info.num_samples.items():
        assert split in SPLITS, f"split {split!r} is not one of {', '.join(SPLITS)}"
        dataset = config.build(split)
        assert len(dataset) == count, f"{split}: info() says {count} samples, the data set has {len(dataset)}"
        for index in range(min(most, count)):
            _check_sample(dataset[index], len(info.classes))
        assert torch.equal(dataset[0].image, dataset[0].image), f"{split}: sample 0 differs from call to call"
        assert len(pickle.dumps(dataset)) < 100_000_000, f"{split}: takes over 100 MB to pickle"


def _check_sample(sample: Sample, num_classes: int) -> None:
    where = f"sample {sample.id!r}"
    assert isinstance(sample.image, tv_tensors.Image), f"{where}: image is no tv_tensors.Image"
    assert sample.image.dtype == torch.uint8, f"{where}: image is {sample.image.dtype}, expected uint8"
    assert sample.image.shape[:-2] == (3,), f"{where}: image has shape {tuple(sample.image.shape)}, expected 3 × h × w"
    labels = sample.target.get("labels")
    if labels is not None and labels.numel():
        assert int(labels.min()) >= 0, f"{where}: a label is below 0"
        assert int(labels.max()) < num_classes, f"{where}: a label is no class index; there are {num_classes} classes"
    boxes = sample.target.get("boxes")
    if boxes is not None:
        assert isinstance(boxes, tv_tensors.BoundingBoxes), f"{where}: boxes are no tv_tensors.BoundingBoxes"
        assert (boxes[:, 2:] > boxes[:, :2]).all(), f"{where}: a box has no area; boxes are x1, y1, x2, y2"
        assert labels is not None and len(labels) == len(boxes), f"{where}: as many labels as boxes are expected"  # noqa: PT018


def check_transform(config: TransformConfig, sample: Sample) -> Sample:
    """It keeps uint8 RGB and rows together, draws only from seeded generators, and leaves its input alone."""
    from vf.data.pipeline import apply_transform
    from vf.data.seeding import seeded

    transform = config.build()
    before = copy.deepcopy(sample)
    results = []
    for _ in range(2):
        with seeded(1, 2, 3):
            results.append(apply_transform(transform, sample, lambda: copy.deepcopy(before), final=False))
    assert torch.equal(sample.image, before.image), "the transform writes into the image that it is given"
    assert torch.equal(results[0].image, results[1].image), (
        "the same seed gives another image; draw from torch's generator"
    )
    _check_sample(results[0], 1 + max([0, *sample.target.get("labels", torch.zeros(0)).flatten().tolist()]))
    pickle.dumps(transform)
    return results[0]


def check_metric(config: MetricConfig, predictions: list[Any], targets: list[Any]) -> dict[str, float | None]:
    """Two halves merged give what the whole gives, and nothing at all gives None, not a number."""
    whole, empty = config.build(INFO), config.build(INFO)
    whole.update(predictions, targets)
    numbers = whole.compute()
    halves = [config.build(INFO) for _ in range(2)]
    middle = len(targets) // 2
    halves[0].update(predictions[:middle], targets[:middle])
    halves[1].update(predictions[middle:], targets[middle:])
    merged: Metric = config.build(INFO)
    merged.merge([half.state() for half in halves])
    assert merged.compute() == numbers, f"merged halves give {merged.compute()}, the whole gives {numbers}"
    nothing = empty.compute()
    assert nothing.keys() == numbers.keys(), "compute() of an empty metric has other names"
    assert all(value is None for value in nothing.values()), f"an empty metric gives {nothing}, expected None"
    return numbers
