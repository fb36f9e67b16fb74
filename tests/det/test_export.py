"""Dense detectors as graphs: what they give, and that it is what the detectors say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from vf.backbones import ResNet
from vf.resizing import Resize
from vf.testing import INFO, check_exported, detection_batch
from vf_det import dense_configs, model_configs

RESIZE = Resize(short=48, long=96, divisor=32)
BODY = ResNet(depth=18, out=(2, 3, 4))
MODELS: dict[str, Any] = {
    "yolox": model_configs.YOLOX(size=(64, 96), width=0.125, score_threshold=0.0),
    "retinanet": dense_configs.RetinaNet(backbone=BODY, resize=RESIZE, score_threshold=0.001),
    "fcos": dense_configs.FCOS(backbone=BODY, resize=RESIZE, score_threshold=0.001),
}
OUTPUTS = {
    "yolox": {"boxes", "objects", "classes"},
    "retinanet": {"boxes", "classes", "levels"},
    "fcos": {"boxes", "classes", "centerness", "levels"},
}


@pytest.mark.parametrize("name", ["yolox", "retinanet"])
def test_a_graph_says_what_the_detector_says(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = MODELS[name].build(INFO)
    parity = check_exported(model, lambda rules: [detection_batch(rules)], tmp_path, size=(64, 96), batch=2, dynamic=())
    assert parity.differences.keys() == OUTPUTS[name]
    assert parity.total["boxes"] > 0


@pytest.mark.parametrize("name", ["retinanet", "fcos"])
def test_every_cell_has_a_box(name: str) -> None:
    model = MODELS[name].build(INFO).eval()
    batch = detection_batch(model.preprocess)
    with torch.no_grad():
        raw = model.raw(batch.images, batch.sizes)
    assert raw["boxes"].shape == (2, int(raw["levels"][0].sum()), 4)
    assert raw["classes"].shape == (*raw["boxes"].shape[:2], len(INFO.classes))
    torch.testing.assert_close(raw["levels"][0], raw["levels"][1])
    assert raw.keys() == OUTPUTS[name]
