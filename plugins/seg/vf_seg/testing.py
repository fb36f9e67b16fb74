"""Contract test of segmenters: what the tests of a plugin with one call, and what ours pass too."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision import tv_tensors

from vf.data.collate import Collate
from vf.data.follow import IGNORE
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.protocols import DatasetInfo, ModelConfig, Preprocess

INFO = DatasetInfo(classes=("a", "b", "c"), task="seg", num_samples={"train": 4, "val": 2}, fingerprint="0")
"""Facts of a made-up data set with three classes."""
SIZES = ((64, 96), (80, 64))
"""Of two images that need padding in one batch."""


def seg_batch(
    preprocess: Preprocess,
    *,
    sizes: Sequence[tuple[int, int]] = SIZES,
    classes: int = len(INFO.classes),
    ignored: bool = False,
    training: bool = True,
    seed: int = 0,
) -> Batch:
    """Return a collated batch of noise; its maps are blocks of classes, with an ignored corner.

    Args:
        preprocess: of the model.
        sizes: height and width of each image.
        classes: C.
        ignored: whether no pixel is labelled.
        training: whether maps follow the image rules.
        seed: of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    fitted = []
    for number, (height, width) in enumerate(sizes):
        blocks = torch.randint(0, classes, (-(-height // 8), -(-width // 8)), generator=generator)
        semantic = blocks.repeat_interleave(8, 0).repeat_interleave(8, 1)[:height, :width].to(torch.uint8)
        semantic[:4, :4] = IGNORE
        if ignored:
            semantic[:] = IGNORE
        pixels = torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)
        sample = Sample(tv_tensors.Image(pixels), {"semantic": tv_tensors.Mask(semantic)}, str(number))
        fitted.append(Fitted(preprocess.fit(sample, with_target=training), (height, width)))
    batch = Collate(fill=preprocess.pad_value)(fitted)
    assert isinstance(batch, Batch)
    return batch


def check_segmenter(config: ModelConfig, *, sizes: Sequence[tuple[int, int]] = SIZES) -> None:
    """It trains on labelled and on ignored pixels, and predicts each image at its size, whatever lies beside it."""
    torch.manual_seed(0)
    model = config.build(INFO)
    assert isinstance(model, nn.Module), f"build() gives {type(model).__name__}, expected an nn.Module"
    preprocess = getattr(model, "preprocess", None)
    assert preprocess is not None, "the model has no attribute 'preprocess'; see vf_seg.images.Images"
    _check_losses(model.train(), seg_batch(preprocess, sizes=sizes))
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not unused, f"parameters without a gradient, over which processes would wait: {', '.join(unused[:4])}"
    _check_losses(model, seg_batch(preprocess, sizes=sizes, ignored=True))
    batch = seg_batch(preprocess, sizes=sizes, training=False)
    with torch.no_grad():
        predictions = model.eval()(batch)
        alone = model(seg_batch(preprocess, sizes=sizes[:1], training=False))[0]["semantic"]
    assert len(predictions) == len(batch), f"{len(predictions)} predictions for {len(batch)} images"
    for prediction, size in zip(predictions, sizes, strict=True):
        _check_map(prediction, size)
    assert torch.equal(alone, predictions[0]["semantic"]), "an image alone gives another map than beside others"
    pickle.dumps(copy.deepcopy(preprocess))


def _check_losses(model: nn.Module, batch: Batch) -> None:
    model.zero_grad()
    losses = model(batch)
    assert isinstance(losses, dict), f"forward in training gives {type(losses).__name__}, expected losses by name"
    assert losses, "forward in training gives no losses"
    for name, value in losses.items():
        assert value.ndim == 0, f"loss {name!r} has shape {tuple(value.shape)}, expected a scalar"
        assert math.isfinite(value.item()), f"loss {name!r} is {value.item()}"
    sum(value for name, value in losses.items() if not name.startswith("_")).backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads, "no parameter got a gradient"
    assert all(g.isfinite().all() for g in grads), "a gradient is not finite"


def _check_map(prediction: dict[str, Tensor], size: tuple[int, int]) -> None:
    assert "semantic" in prediction, f"a prediction has no 'semantic'; it has {', '.join(prediction)}"
    semantic = prediction["semantic"]
    assert semantic.device.type == "cpu", "predictions are to be on the CPU"
    assert semantic.dtype == torch.uint8, f"semantic is {semantic.dtype}, expected uint8"
    assert tuple(semantic.shape) == size, f"semantic is {tuple(semantic.shape)}, the decoded image {size}"
    assert int(semantic.max()) < len(INFO.classes), "semantic holds what is no class index"
