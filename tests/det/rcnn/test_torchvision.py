"""Faster and Mask R-CNN give the boxes, masks and losses of torchvision's with the same weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vf.necks import FPN
from vf_det.rcnn import model
from vf_det.rcnn.model import RCNN
from vf_det.rcnn_configs import Head, MaskHead, Proposals

ALL = 100_000
"""So many examples that all are drawn."""
RPN = Proposals(rounded=True, grid_strides=True, lowest_iou=0.0, beta=1 / 9, train_kept=100, test_kept=100, samples=ALL)
HEAD = Head(sampling_ratio=2, aligned=False, beta=1 / 9, samples=ALL)


def pair(cases: Any, *, masks: bool = False) -> tuple[RCNN, nn.Module]:
    """Ours and theirs; a sample takes every box, so that nothing is left to chance."""
    drawn = {"mask_head": MaskHead(binary=False)} if masks else {}
    ours = cases.tiny("MaskRCNN" if masks else "FasterRCNN", neck=FPN(), rpn=RPN, head=HEAD, max_detections=30, **drawn)
    samples = {"rpn_batch_size_per_image": ALL, "box_batch_size_per_image": ALL}
    kept = {"rpn_post_nms_top_n_train": 100, "rpn_post_nms_top_n_test": 100, "box_detections_per_img": 30}
    theirs = cases.torchvisions(masks=masks, **samples, **kept)
    missing = ours.load_state_dict(cases.renamed(theirs.state_dict()), strict=False)
    assert not missing.unexpected_keys
    assert set(missing.missing_keys) == {"preprocess.mean", "preprocess.std"}
    return ours, theirs


def their_images(images: Tensor) -> list[Tensor]:
    return [i / 255 for i in images]


@pytest.mark.parametrize("masks", [False, True])
def test_predictions(cases: Any, masks: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "paste", lambda probabilities, *args, **keys: probabilities)
    ours, theirs = (one.eval() for one in pair(cases, masks=masks))
    monkeypatch.setattr(theirs.transform, "postprocess", lambda found, *args: found)
    batch = cases.batch_of([], [])
    with torch.no_grad():
        found, expected = ours(batch), theirs(their_images(batch.images))
    for own, other in zip(found, expected, strict=True):
        assert len(own["boxes"]) == len(other["boxes"]) > 20
        torch.testing.assert_close(own["scores"], other["scores"], atol=1e-4, rtol=0)
        torch.testing.assert_close(own["boxes"], other["boxes"], atol=1e-3, rtol=0)
        assert torch.equal(own["labels"] + 1, other["labels"])
        if masks:
            torch.testing.assert_close(own["masks"], other["masks"][:, 0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("masks", [False, True])
def test_losses_and_gradients(cases: Any, masks: bool) -> None:
    ours, theirs = pair(cases, masks=masks)
    batch = cases.batch_of(*cases.boxes, masks=masks)
    targets = [
        {
            "boxes": torch.tensor(boxes),
            "labels": labels + 1,
            "masks": cases.ellipses(torch.tensor(boxes), cases.size).byte(),
        }
        for boxes, labels in zip(cases.boxes, batch.target("labels"), strict=True)
    ]
    found, expected = ours.train()(batch), theirs.train()(their_images(batch.images), targets)
    names = {
        "loss_rpn_cls": "loss_objectness",
        "loss_rpn_box": "loss_rpn_box_reg",
        "loss_cls": "loss_classifier",
        "loss_box": "loss_box_reg",
        **({"loss_mask": "loss_mask"} if masks else {}),
    }
    assert found.keys() == names.keys()
    for name, other in names.items():
        torch.testing.assert_close(found[name], expected[other], atol=1e-4, rtol=1e-4)
    sum(found.values()).backward()
    sum(expected.values()).backward()
    gradients = cases.renamed({n: p.grad for n, p in theirs.named_parameters() if p.grad is not None})
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None
        assert (parameter.grad - gradients[name]).norm() <= 2e-3 * gradients[name].norm(), name
