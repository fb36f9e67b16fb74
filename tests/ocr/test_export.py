"""Text detectors as graphs, of open sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import tv_tensors

import vf
from vf.backbones import ResNet
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.errors import ConfigError
from vf.export.write import shaped
from vf.orders import ExportOrder
from vf.testing import check_exported
from vf_ocr.backbone_configs import Slim
from vf_ocr.detection_configs import DBNet, DBNetPP, PANet, PSENet, Sizing

INFO = vf.DatasetInfo(classes=("text",), task="ocr", num_samples={}, fingerprint="0")
SMALL = Sizing(short=96, long=128, train_long=128)
DEFORMABLE = DBNet(backbone=ResNet(depth=50), neck_width=32, resize=SMALL, deformable=(2,), stride=4)
CONFIGS: dict[str, Any] = {
    "dbnet": DBNet(backbone=Slim(width=16), neck_width=32, resize=SMALL, stride=2),
    "dbnetpp": DBNetPP(backbone=Slim(width=16), neck_width=32, resize=SMALL, stride=2),
    "psenet": PSENet(backbone=ResNet(depth=18), neck_width=32, hidden=32, resize=SMALL),
    "panet": PANet(neck_width=32, hidden=32, resize=SMALL, map_stride=4),
}


def finding(config: Any) -> nn.Module:
    """Build a model that finds something: a corner of noise is over its threshold here and there."""
    torch.manual_seed(0)
    model: nn.Module = config.build(INFO)
    if isinstance(config, DBNet | DBNetPP):
        last: Any = model.head.kernels[-1]  # type: ignore[union-attr]
        last.weight.data.copy_(last.weight.data.mean((2, 3), keepdim=True).expand_as(last.weight))
        last.weight.data.mul_(3)
        last.bias.data.zero_()
    return model


def noise(rules: Any) -> list[Batch]:
    """Return two pages of coarse noise, of two shapes."""
    generator = torch.Generator().manual_seed(0)
    fitted = []
    for height, width in ((60, 80), (50, 90)):
        coarse = torch.rand(1, 3, height // 10, width // 10, generator=generator) * 255
        pixels = nn.functional.interpolate(coarse, (height, width), mode="nearest")[0].to(torch.uint8)
        sample = Sample(tv_tensors.Image(pixels), {}, f"{width}")
        fitted.append(Fitted(rules.fit(sample, with_target=False), (height, width)))
    made = Collate(fill=rules.pad_value)(fitted)
    assert isinstance(made, Batch)
    return [made]


@pytest.mark.parametrize("name", list(CONFIGS))
def test_a_graph_gives_the_outlines_of_the_model(name: str, tmp_path: Path) -> None:
    parity = check_exported(finding(CONFIGS[name]), noise, tmp_path)
    assert set(parity.differences) == {"maps"}
    assert set(parity.total) == {"outlines"}
    if name.startswith("dbnet"):
        assert parity.total["outlines"] > 0


def test_onnx_has_deformable_convolutions_since_19() -> None:
    assert shaped(CONFIGS["dbnet"].build(INFO), ExportOrder(checkpoint="model")).opset == 18
    model = DEFORMABLE.build(INFO)
    assert shaped(model, ExportOrder(checkpoint="model")).opset == 19
    assert shaped(model, ExportOrder(checkpoint="model", opset=21)).opset == 21
    with pytest.raises(ConfigError) as error:
        shaped(model, ExportOrder(checkpoint="model", opset=18))
    assert str(error.value) == "--opset 18: ONNX has all operators of this model since 19; leave it out"
