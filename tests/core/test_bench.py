"""What ``vf run bench`` makes of times, by hand; and a network that can be told from what comes after it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vf.bench.run import Figures, bottleneck
from vf.bench.timing import Stopwatch, Timed, network_timed, percentile


def timed(**seconds: list[float]) -> Timed:
    return Timed(2, seconds, None)


FIVE = timed(
    decode=[0.01, 0.01, 0.01, 0.01, 0.02],
    preprocess=[0.005] * 5,
    model=[0.08, 0.08, 0.08, 0.09, 0.17],
    postprocess=[0.005] * 5,
)


@pytest.mark.parametrize(
    ("part", "expected"),
    [(50, 3.0), (90, 5.0), (99, 5.0), (100, 5.0), (20, 1.0), (0, 1.0)],
)
def test_percentiles_are_values_that_were_measured(part: int, expected: float) -> None:
    assert percentile([5.0, 1.0, 4.0, 2.0, 3.0], part) == expected
    assert percentile([7.0], part) == 7.0


def test_figures_of_one_batch_size() -> None:
    assert FIVE.whole == pytest.approx([0.1, 0.1, 0.1, 0.11, 0.2])
    plain = FIVE.plain()
    assert plain["images_per_second"] == pytest.approx(10 / 0.61, abs=0.01)
    assert plain["model_images_per_second"] == 20.0
    assert plain["latency_ms"] == {"p50": 100.0, "p90": 200.0, "p99": 200.0}
    assert plain["stages_ms"] == {"decode": 10.0, "preprocess": 5.0, "model": 80.0, "postprocess": 5.0}
    assert plain["gpu_bytes"] is None


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (None, "of 61.0 ms an image at batch 2, model takes 82%"),
        (
            6.0,
            "of 61.0 ms an image at batch 2, model takes 82%; a training would wait for data: 3 workers give 6.0 "
            "images/s, and the network could take about 6.7 (a third of 20.0 forward)",
        ),
        (
            70.0,
            "of 61.0 ms an image at batch 2, model takes 82%; a training would not wait for data: 3 workers give 70.0 "
            "images/s, and the network takes about 6.7 (a third of 20.0 forward)",
        ),
    ],
)
def test_the_sentence_names_what_is_slowest(rate: float | None, said: str) -> None:
    pipelines = {} if rate is None else {"train": rate}
    assert bottleneck(Figures(model="m", on="x", timed=[FIVE], pipelines=pipelines, workers=3)) == said
    assert bottleneck(Figures(model="m", on="x")) == ""


class Parted(nn.Module):
    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"x": images}

    def forward(self, images: Tensor) -> Any:
        return self.raw(images, images)["x"]


def test_a_network_is_measured_and_left_as_it_was() -> None:
    watch = Stopwatch(torch.device("cpu"))
    model = Parted()
    with network_timed(model, watch) as apart:
        model(torch.zeros(1))
    assert apart
    assert watch.spent > 0
    assert "raw" not in vars(model)
    with network_timed(nn.Identity(), watch) as apart:
        assert not apart
