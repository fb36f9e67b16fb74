"""YOLOX under torch.compile: it can be traced, and its losses and gradients stay what they are."""

from __future__ import annotations

import copy

import pytest
import torch

from vf.data.sample import Batch
from vf_det.yolox.model import YOLOX

SIDE = 64


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # raised and hidden inside torch's tracing
def test_a_traced_network_learns_the_same() -> None:
    torch.manual_seed(0)
    model = YOLOX(
        num_classes=2,
        depth=0.33,
        width=0.125,
        depthwise=False,
        size=(SIDE, SIDE),
        score_threshold=0.01,
        nms_iou=0.65,
        max_detections=100,
    )
    batch = Batch(
        images=torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8),
        sizes=torch.tensor([[SIDE, SIDE]] * 2),
        original=torch.tensor([[SIDE, SIDE]] * 2),
        ids=("a", "b"),
        targets={"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0], [20.0, 10.0, 60.0, 60.0]]), "labels": torch.arange(2)},
        counts={"boxes": (1, 1), "labels": (1, 1)},
    )
    found = []
    for wrap in (lambda m: m, lambda m: torch.compile(m, backend="eager")):  # traced, but not translated to C++
        own = copy.deepcopy(model).train()
        losses = wrap(own)(batch)
        sum(losses.values()).backward()
        found.append((losses, [p.grad for p in own.parameters()]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
