"""Panoptic FPN: targets and segments worked out by hand, data in COCO's panoptic form, wrong data."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vf.backbones import ResNet
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch
from vf.errors import ConfigError, DataError
from vf.necks import FPN
from vf.protocols import DatasetInfo
from vf.resizing import Resize
from vf.testing import INFO, check_config
from vf_det.map_configs import CocoPanoptic
from vf_det.masks import Masks
from vf_det.metric_configs import PanopticQuality
from vf_det.panoptic_fpn.merge import Merging, class_map, merge
from vf_det.panoptic_fpn.model import PanopticFPN
from vf_det.panoptic_fpn.semantic import SemanticHead
from vf_det.rcnn_configs import Head, MaskHead, Merge, Semantic
from vf_det.rcnn_configs import PanopticFPN as Config

WITH_STUFF = attrs.evolve(INFO, stuff=("sky", "road"))
RULE = Merging(score=0.5, overlap=0.5, stuff_area=3)


def small(info: DatasetInfo = WITH_STUFF, **keys: Any) -> PanopticFPN:
    torch.manual_seed(0)
    config = Config(
        backbone=ResNet(depth=18, norm="frozen_bn"),
        neck=FPN(channels=32),
        head=Head(hidden=32, samples=32),
        mask_head=MaskHead(hidden=32),
        semantic=Semantic(hidden=32),
        resize=Resize(short=64, long=128),
        **keys,
    )
    model = config.build(info)
    assert isinstance(model, PanopticFPN)
    return model


def head(*, things: int = 3, stuff: int = 2, stride: int = 4) -> SemanticHead:
    return SemanticHead(32, hidden=32, levels=3, stride=stride, num_things=things, num_stuff=stuff, weight=1.0)


def test_things_are_one_class_after_the_stuff() -> None:
    # Cells of 4 px take the pixel at 2, 2.
    maps = torch.full((1, 8, 7), 255, dtype=torch.uint8)
    maps[0, 2, 2], maps[0, 2, 6], maps[0, 6, 2] = 1, 3, 4
    target = head()._target(maps, (3, 3))
    assert target.tolist() == [[[2, 0, 255], [1, 255, 255], [255, 255, 255]]]


def test_the_loss_is_a_mean_over_cells_that_are_known() -> None:
    maps = torch.full((2, 8, 8), 255, dtype=torch.uint8)
    logits = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert head().loss(logits, maps).item() == 0
    maps[0, 2, 2], maps[1, 6, 6] = 4, 0
    expected = F.cross_entropy(torch.stack([logits[0, :, 0, 0], logits[1, :, 1, 1]]), torch.tensor([1, 2]))
    torch.testing.assert_close(head().loss(logits, maps), expected)


def test_levels_come_to_the_finest_size() -> None:
    levels = [torch.randn(1, 32, *size) for size in ((12, 20), (6, 10), (3, 5))]
    assert head()(levels).shape == (1, 3, 12, 20)
    odd = [torch.randn(1, 32, *size) for size in ((11, 19), (6, 10), (3, 5))]
    assert head()(odd).shape == (1, 3, 11, 19)


@pytest.mark.parametrize("chunk", [1, 1 << 24])
def test_the_map_is_interpolated_once(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vf_det.panoptic_fpn.merge.CHUNK", chunk)
    logits = torch.randn(3, 8, 16, generator=torch.Generator().manual_seed(0))
    resized = F.interpolate(logits[None], size=(16, 32), mode="bilinear")[0]
    found = class_map(logits, padded=(32, 64), size=(32, 64), original=(16, 32))
    assert (found == resized.argmax(0)).float().mean() > 0.99
    # Only the upper left half of the padded image is the image.
    half = F.interpolate(logits[None, :, :4, :8], size=(9, 17), mode="bilinear")[0].argmax(0)
    found = class_map(logits, padded=(32, 64), size=(16, 32), original=(9, 17))
    assert found.shape == (9, 17)
    assert (found == half)[:-2, :-2].float().mean() > 0.97


def things(*rows: tuple[int, int, float, int], size: tuple[int, int] = (4, 8)) -> dict[str, Any]:
    """Masks over columns from, to; score; label."""
    dense = torch.zeros(len(rows), *size, dtype=torch.bool)
    for mask, (low, high, _, _) in zip(dense, rows, strict=True):
        mask[:, low:high] = True
    return {
        "masks": Masks.from_dense(dense),
        "scores": torch.tensor([r[2] for r in rows]),
        "labels": torch.tensor([r[3] for r in rows], dtype=torch.long),
    }


def test_better_things_first_then_stuff() -> None:
    classes = torch.full((4, 8), 1)
    classes[0, 7], classes[1] = 0, 2  # one pixel of sky; a row that says thing
    given = things((0, 4, 0.9, 2), (2, 5, 0.8, 0), (3, 7, 0.7, 1), (0, 8, 0.4, 1))
    ids, segments = merge(classes, given, num_things=3, num_stuff=2, rule=RULE)
    assert ids.dtype == torch.int32
    # The second thing lost two of its three columns; the third has three of its four left; the last scores too low.
    assert ids.tolist() == [[1] * 4 + [2] * 3 + [0], [1] * 4 + [2] * 3 + [0], *[[1] * 4 + [2] * 3 + [0]] * 2]
    assert [(s["id"], s["category"], s["isthing"], round(s["score"], 3)) for s in segments] == [
        (1, 2, True, 0.9),
        (2, 1, True, 0.7),
    ]
    none, kept = merge(classes, things(), num_things=3, num_stuff=2, rule=RULE)
    assert none.unique().tolist() == [0, 1]  # the sky is too small
    assert kept == [{"id": 1, "category": 4, "isthing": False, "score": 1.0}]


def test_a_thing_without_pixels_is_left_out() -> None:
    ids, segments = merge(torch.full((4, 8), 2), things((3, 3, 0.9, 0)), num_things=3, num_stuff=2, rule=RULE)
    assert ids.sum() == 0
    assert segments == []


def batch_with_maps(cases: Any, *boxes: list[list[float]], fill: int = 3) -> Batch:
    batch: Batch = cases.batch_of(*boxes, masks=True)
    maps: Tensor = torch.full((len(boxes), *cases.size), fill, dtype=torch.uint8)
    batch.targets["semantic"] = maps.flatten(0, 1)
    batch.counts["semantic"] = (cases.size[0],) * len(boxes)
    return batch


@pytest.mark.parametrize("fill", [3, 255])
@pytest.mark.parametrize("boxes", [([], []), ([[8.0, 8.0, 60.0, 50.0]], [])])
def test_losses_and_gradients(cases: Any, boxes: Any, fill: int) -> None:
    model = small().train()
    terms = model(batch_with_maps(cases, *boxes, fill=fill))
    assert terms.keys() == {"loss_rpn_cls", "loss_rpn_box", "loss_cls", "loss_box", "loss_mask", "loss_semantic"}
    cases.total(terms).backward()
    missing = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing


def test_it_learns_where_stuff_is(cases: Any) -> None:
    model = small(panoptic=Merge(score=1.0, stuff_area=1)).train()
    batch = batch_with_maps(cases, [], fill=4)
    optimizer = torch.optim.Adam(model.semantic.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        model(batch)["loss_semantic"].backward()
        optimizer.step()
    [prediction] = model.eval()(batch)
    assert prediction["panoptic"].shape == cases.size
    assert prediction["panoptic"].unique().tolist() == [1]
    assert prediction["segments"] == [{"id": 1, "category": 4, "isthing": False, "score": 1.0}]


def test_data_in_cocos_form(layouts: Any) -> None:
    config = CocoPanoptic(path=str(layouts.panoptic()), masks=True)
    model = small(config.info(), score_threshold=0.0, panoptic=Merge(score=0.0, stuff_area=0))
    for split in ("train", "val"):
        dataset = config.build(split)
        samples = [dataset[i] for i in range(2)]
        fitted = [Fitted(model.preprocess.fit(s, with_target=split == "train"), s.size) for s in samples]
        batch: Any = Collate(fill=0)(fitted)
        if split == "train":
            assert all(v.isfinite() for v in model.train()(batch).values())
            continue
        predictions: Any = model.eval()(batch)
        assert predictions[0]["panoptic"].shape == (30, 40)
        info = config.info()
        metric = PanopticQuality().build(info)
        metric.update(predictions, batch.per_image())
        assert metric.compute()["PQ"] is not None


def test_wrong_data_are_one_line(cases: Any) -> None:
    with pytest.raises(ConfigError) as config_error:
        small(INFO)
    assert str(config_error.value) == (
        "model panoptic_fpn: needs data that name stuff, as coco_panoptic does; for things alone take mask_rcnn"
    )
    with pytest.raises(DataError) as data_error:
        small().train()(cases.batch_of(*cases.boxes, masks=True))
    assert str(data_error.value) == (
        "data: has no maps of classes and stuff, which panoptic_fpn learns; use data like coco_panoptic"
    )
    check_config(Config, "panoptic_fpn")
