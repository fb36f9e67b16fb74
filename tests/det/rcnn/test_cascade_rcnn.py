"""Cascade R-CNN: what each stage trains on, what comes out of all."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vf_det.coding import encode
from vf_det.objects import Objects
from vf_det.rcnn.rpn import Regions
from vf_det.rcnn.stage import Said

ENDINGS = ("_1", "_2", "_3")


@pytest.mark.parametrize("masks", [False, True])
def test_losses_of_each_stage(cases: Any, masks: bool) -> None:
    model = cases.tiny("CascadeRCNN", masks=masks).train()
    terms = model(cases.batch_of(*cases.boxes, masks=masks))
    names = ["loss_cls", "loss_box", *(["loss_mask"] if masks else [])]
    assert terms.keys() == {"loss_rpn_cls", "loss_rpn_box"} | {n + e for n in names for e in ENDINGS}
    cases.total(terms).backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None]
    [prediction] = model.eval()(cases.batch_of([]))
    assert ("masks" in prediction) == masks


def test_stages_have_their_own_overlaps_and_weights(cases: Any) -> None:
    model = cases.tiny("CascadeRCNN")
    assert [s.learning.positive for s in model.stages] == [0.5, 0.6, 0.7]
    assert [s.weight for s in model.stages] == [1.0, 0.5, 0.25]
    assert [s.boxes.out_features for s in model.stages] == [4, 4, 4]


def test_the_next_stage_trains_on_moved_boxes_without_those_of_objects(
    cases: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cases.tiny("CascadeRCNN").train()
    proposals = torch.tensor([[10.0, 10, 50, 50], [60, 10, 100, 50]])
    regions = Regions(proposals, torch.zeros(2, dtype=torch.long))
    monkeypatch.setattr(model.rpn, "propose", lambda raw, sizes: (regions, torch.ones(2)))
    for stage in model.stages:  # a tenth of the width to the right, in units of the deviation
        stage.boxes.weight.data.zero_()
        stage.boxes.bias.data = torch.tensor([0.1 / stage._stds[0], 0, 0, 0])
    seen = []
    for stage in model.stages:
        choose = stage.choose

        def spy(own: Any, objects: Any, choose: Any = choose) -> Any:
            seen.append(own[0])
            return choose(own, objects)

        monkeypatch.setattr(stage, "choose", spy)
    model(cases.batch_of([[12.0, 12, 52, 52]]))
    for moved, own in enumerate(seen):
        expected = proposals + torch.tensor([4.0 * moved, 0, 4.0 * moved, 0])
        torch.testing.assert_close(own[own[:, 0].argsort()], expected)


def test_refined_takes_the_box_of_the_likeliest_class(cases: Any) -> None:
    stage = cases.tiny().stages[0]
    regions = Regions(torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([0]))
    wanted = torch.tensor([[5.0, 5, 25, 25], [2.0, 2, 18, 18], [0.0, 0, 40, 40]])
    deltas = encode(wanted, regions.boxes.expand(3, 4), stage._stds)
    said = Said(torch.tensor([[0.0, 2.0, 1.0, 9.0]]), deltas[None])  # background is the likeliest of all
    moved = stage.refined(said, regions, torch.tensor([[64, 64]]))
    torch.testing.assert_close(moved.boxes, wanted[1:2])


def test_scores_are_of_the_mean_of_the_logits(cases: Any) -> None:
    model = cases.tiny("CascadeRCNN", score_threshold=0.1).eval()
    for stage, bias in zip(model.stages, ([3.0, 0, 0, 0], [0.0, 6, 0, 0], [0.0, 0, 0, 0]), strict=True):
        stage.classes.weight.data.zero_()
        stage.classes.bias.data = torch.tensor(bias)
    [prediction] = model(cases.batch_of([]))
    expected = torch.tensor([1.0, 2.0, 0.0, 0.0]).softmax(0)
    assert set(prediction["labels"].tolist()) == {0, 1}
    for label in (0, 1):
        scores = prediction["scores"][prediction["labels"] == label]
        torch.testing.assert_close(scores, expected[label].expand_as(scores))


def test_an_object_is_an_example_of_itself(cases: Any) -> None:
    stage = cases.tiny().stages[0]
    own = Objects(torch.tensor([[0.0, 0, 20, 20]]), torch.tensor([2]), None)
    lesson = stage.choose([torch.zeros(0, 4)], [own])
    assert lesson.regions.boxes.tolist() == own.boxes.tolist()
    assert lesson.given.tolist() == [True]
    assert lesson.examples.object.tolist() == [0]
