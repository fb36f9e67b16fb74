"""The curves of a report beside pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vf.protocols import DatasetInfo
from vf.report.pr import curve_of
from vf.report.tallies import Boxes
from vf_det.metric_configs import CocoAP

INFO = DatasetInfo(classes=("a", "b", "c"), task="det", num_samples={}, fingerprint="")


def drawn(rng: np.random.Generator, count: int) -> torch.Tensor:
    low = rng.uniform(0, 80, (count, 2))
    return torch.tensor(np.concatenate([low, low + rng.uniform(4, 20, (count, 2))], 1), dtype=torch.float32)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_coco(seed: int) -> None:
    rng = np.random.default_rng(seed)
    metric, tally = CocoAP(backend="pycocotools").build(INFO), Boxes(INFO.classes)
    for image in range(12):
        count, ghosts = int(rng.integers(0, 7)), int(rng.integers(0, 5))
        boxes, labels = drawn(rng, count), torch.tensor(rng.integers(0, 3, count))
        moved = boxes + torch.tensor(rng.uniform(-1.9, 1.9, (count, 4)), dtype=torch.float32)
        wrong = torch.tensor(rng.random(count) < 0.2)
        prediction = {
            "boxes": torch.cat([moved, drawn(rng, ghosts)]),
            "scores": torch.tensor(rng.random(count + ghosts), dtype=torch.float32),
            "labels": torch.cat(
                [torch.where(wrong, (labels + 1) % 3, labels), torch.tensor(rng.integers(0, 3, ghosts))]
            ),
        }
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        crowd = torch.tensor(rng.random(count) < 0.15)
        target = {"id": str(image), "boxes": boxes, "labels": labels, "iscrowd": crowd, "area": area}
        metric.update([prediction], [target])
        tally.take(prediction, target)
    averages = [curve.average for one in tally._scored if (curve := curve_of(one)) is not None]
    assert float(np.mean(averages)) == pytest.approx(metric.compute()["AP50"], abs=1e-9)
