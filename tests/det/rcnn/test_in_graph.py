"""R-CNN as a graph makes it: the same as what Python makes of as many boxes as there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.ops import nms

from vf.errors import ConfigError
from vf.export.write import _refuse_unfit
from vf.testing import check_exported
from vf_det.rcnn import model as rcnn_model
from vf_det.rcnn import pool as rcnn_pool
from vf_det.rcnn.in_graph import NONE, detect, kept


def boxes_of(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 30
    return torch.cat((corner, corner + 5 + 20 * torch.rand(count, 2, generator=generator)), 1)


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_suppression_is_torchvisions(count: int) -> None:
    pairs = torch.stack([boxes_of(count, 1), boxes_of(count, 2)])
    stays = kept(pairs, 0.5)
    for own, boxes in zip(stays, pairs, strict=True):
        falling = torch.arange(count, 0, -1).float()
        assert own.nonzero()[:, 0].tolist() == sorted(nms(boxes, falling, 0.5).tolist())


def test_boxes_of_other_classes_and_without_an_area_suppress_nothing() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10], [3, 3, 3, 3]]])
    assert kept(boxes, 0.5, torch.tensor([[0, 1, 0, 0]])).tolist() == [[True, True, False, True]]


def test_detections_by_hand() -> None:
    scores = torch.tensor([[[0.9, 0.02], [0.8, 0.6], [NONE, NONE]]])
    boxes = torch.tensor([[[[0.0, 0, 10, 10]], [[0.0, 0, 10, 9]], [[0.0, 0, 5, 5]]]])
    box, score, label = detect(scores, boxes, threshold=0.05, iou=0.5, agnostic=False, most=4)
    assert label.tolist() == [[0, 1, -1, -1]]  # 0.8 of class 0 overlaps 0.9
    assert score[0, :2].tolist() == pytest.approx([0.9, 0.6])
    assert box[0].tolist() == [[0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 0, 0], [0, 0, 0, 0]]
    _, score, label = detect(scores, boxes, threshold=0.05, iou=0.5, agnostic=True, most=2)
    assert label.tolist() == [[0, -1]]
    _, _, label = detect(scores * 0, boxes, threshold=0.05, iou=0.5, agnostic=False, most=2)
    assert label.tolist() == [[-1, -1]]


def spread(model: Any) -> Any:
    """Let new heads say different things of different regions."""
    generator = torch.Generator().manual_seed(3)
    for layer in (model.rpn.head.objects, *(stage.classes for stage in model.stages)):
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * 0.1
    return model.eval()


@pytest.mark.parametrize("kind", ["FasterRCNN", "MaskRCNN", "CascadeRCNN"])
def test_the_graph_s_way_finds_what_python_finds(kind: str, cases: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = spread(cases.tiny(kind))
    batch = cases.batch_of([], [])
    with torch.no_grad():
        ours = model.raw(batch.images, batch.sizes)
        monkeypatch.setattr(rcnn_model, "tracing", lambda: True)
        monkeypatch.setattr(rcnn_pool, "tracing", lambda: True)
        theirs = model.raw(batch.images, batch.sizes)
    assert (ours["labels"] >= 0).sum() > 3
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-4)


def test_mask_rcnn_is_exported(cases: Any, tmp_path: Path) -> None:
    parity = check_exported(
        spread(cases.tiny("MaskRCNN")),
        lambda rules: [cases.batch_of([], [])],
        tmp_path,
        dynamic=(),
        size=(64, 128),
        batch=2,
    )
    assert parity.total["boxes"] > 3


def test_what_a_graph_has_not_is_one_line(cases: Any) -> None:
    with pytest.raises(ConfigError) as refused:
        _refuse_unfit(cases.tiny(keep_proposals=True))
    assert str(refused.value) == (
        "RCNN: cannot be exported: its proposals do not come with the graph; add --set model.keep_proposals=false"
    )
