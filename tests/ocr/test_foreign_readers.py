"""Weights of MMOCR's CRNN, by its names, become ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

import vf
from vf.conversion import Order, convert
from vf.foreign import read_foreign
from vf.predict import Predictor
from vf_ocr.foreign_readers import LOWER
from vf_ocr.recognition_configs import CRNN

NAMES = (("net.body.conv", "backbone.cnn.conv"), ("net.body.norm", "backbone.cnn.batchnorm"))
COLUMNS = (("net.columns.", "decoder.decoder."), (".linear.", ".embedding."))


def theirs(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors under the names that MMOCR 1.0.1 gives them."""
    out = {}
    for name, tensor in tensors.items():
        for ours, other in (*NAMES, *COLUMNS):
            name = name.replace(ours, other)
        if not name.startswith("preprocess."):
            out[name] = tensor
    return out


def test_crnn_of_mmocr_is_carried_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = CRNN(channels=4, hidden=6, size=(32, 100), ratio="stretch", grey=True)
    info = vf.DatasetInfo(classes=LOWER, task="ocr", num_samples={}, fingerprint="")
    model: Any = config.build(info).eval()
    with torch.no_grad():
        for tensor in model.net.state_dict().values():
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 0.3)
    file = tmp_path / "crnn.pth"
    torch.save({"meta": {"mmocr_version": "1.0.1"}, "state_dict": theirs(model.state_dict())}, file)
    order = Order(
        source="mmocr",
        to="ocr/crnn_mini-vgg_5e_mj",
        classes=LOWER,
        overrides=("model.channels=4", "model.hidden=6"),
    )
    done = convert(read_foreign(file), tmp_path / "ours.safetensors", order)
    assert done.whole, done.lines
    loaded: Any = Predictor.load(tmp_path / "ours.safetensors", device="cpu").model
    words = torch.randint(0, 256, (2, 3, 32, 100), dtype=torch.uint8)
    sizes = torch.tensor([[32, 100]] * 2)
    with torch.no_grad():
        ours, before = (net.net.logits(net.net.features(net.preprocess(words, sizes))) for net in (loaded, model))
    torch.testing.assert_close(ours, before)


def test_other_bodies_are_not_known() -> None:
    assert CRNN(body="resnet").foreign_weights("mmocr") is None
    assert CRNN(hidden=0).foreign_weights("mmocr") is None
    assert CRNN().foreign_weights("timm") is None
    assert CRNN().foreign_weights("mmocr") is not None
