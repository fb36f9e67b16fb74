"""Segmenters as graphs, of open sides where that goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vf.backbones import ResNet
from vf.testing import check_exported
from vf_seg import light_configs, model_configs
from vf_seg.heads.blocks import Fuse, GridMean
from vf_seg.testing import INFO, seg_batch


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (light_configs.UNet(width=8), {}),
        (model_configs.PSPNet(backbone=ResNet(depth=18, dilate=8), width=16), {}),
        (model_configs.SegFormer(width=16), {"size": (96, 128), "dynamic": (), "batch": 2}),
        # What torch's own formats take and ONNX does not shows there alone.
        (model_configs.OCRNet(backbone=ResNet(depth=18, dilate=8), width=16, key_width=8), {"format": "onnx"}),
    ],
    ids=["unet", "pspnet", "segformer", "ocrnet"],
)
def test_a_graph_gives_the_class_of_every_pixel(config: Any, order: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    parity = check_exported(
        config.build(INFO), lambda rules: [seg_batch(rules, sizes=((88, 96), (70, 101)))], tmp_path, **order
    )
    assert parity.total == {"pixels": 88 * 96 + 70 * 101}
    assert set(parity.differences) == {"logits"}


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(7, 13), (6, 6), (2, 9)])
def test_pyramid_pooling_in_a_graph_is_torchs(
    bins: int, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, 3, *size)
    fuse = Fuse(3, [4], 5, norm="bn").eval()
    grid = torch.randn(2, 4, bins, bins)
    with torch.no_grad():
        plain = GridMean(bins)(x), fuse(x, [grid])
        monkeypatch.setattr("vf_seg.heads.blocks.tracing", lambda: True)
        traced = GridMean(bins)(x), fuse(x, [grid])
    for ours, theirs in zip(traced, plain, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
