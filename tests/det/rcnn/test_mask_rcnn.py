"""Mask R-CNN: what is learnt of masks, what is drawn, data without masks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from vf.errors import DataError
from vf_det.masks import Masks
from vf_det.objects import Objects
from vf_det.rcnn import mask_head
from vf_det.rcnn.mask_head import cut_out
from vf_det.rcnn.paste import paste, run_bounds


@pytest.mark.slow
def test_it_learns_a_batch(cases: Any) -> None:
    model, batch = cases.tiny("MaskRCNN").train(), cases.batch_of(*cases.boxes, masks=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    values = []
    for _ in range(60):
        optimizer.zero_grad()
        terms = model(batch)
        cases.total(terms).backward()
        optimizer.step()
        values.append(terms["loss_mask"].item())
    assert sum(values[-3:]) < 0.7 * sum(values[:3])
    [prediction] = model.eval()(cases.batch_of([], masks=True))[:1]
    assert isinstance(prediction["masks"], Masks)
    assert len(prediction["masks"]) == len(prediction["boxes"]) > 0


def test_masks_are_of_the_decoded_image(cases: Any) -> None:
    model = cases.tiny("MaskRCNN", score_threshold=0.0, max_detections=3).eval()
    batch = cases.batch_of([], [], original=(33, 65))
    for prediction in model(batch):
        assert prediction["masks"].size == (33, 65)
        assert len(prediction["masks"]) == 3


@pytest.mark.parametrize("kind", ["MaskRCNN", "CascadeRCNN"])
def test_data_without_masks_is_one_line(cases: Any, kind: str) -> None:
    model = cases.tiny(kind, **({"masks": True} if kind == "CascadeRCNN" else {})).train()
    with pytest.raises(DataError) as error:
        model(cases.batch_of(*cases.boxes))
    assert str(error.value) == (
        "data: has no masks, which this model learns; set data.masks: true where the labels have them, or take a model "
        "of boxes alone"
    )


def objects(*masks: Tensor) -> list[Objects]:
    return [Objects(torch.zeros(len(m), 4), torch.zeros(len(m), dtype=torch.long), m) for m in masks]


@pytest.mark.parametrize("chunk", [1, 1 << 25])
def test_targets_are_cut_out_of_the_object_of_each_box(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_head, "CHUNK", chunk)
    left, upper = torch.zeros(8, 8, dtype=torch.bool), torch.zeros(8, 8, dtype=torch.bool)
    left[:, :4], upper[:4] = True, True
    images = objects(torch.stack([left, upper]), torch.zeros(0, 8, 8, dtype=torch.bool), upper[None])
    boxes = torch.tensor([[0.0, 0, 8, 8], [2, 0, 6, 8], [0, 0, 8, 8], [0, 4, 8, 8]])
    out = cut_out(images, torch.tensor([0, 0, 1, 2]), boxes, size=2, aligned=True)
    assert out[0].tolist() == [[1, 0], [1, 0]]
    assert out[1].tolist() == [[1, 0], [1, 0]]
    assert out[2].tolist() == [[1, 1], [0, 0]]
    assert out[3].round().tolist() == [[0, 0], [0, 0]]
    assert cut_out(images, torch.zeros(0, dtype=torch.long), boxes[:0], size=2, aligned=True).shape == (0, 2, 2)


def sampled(cells: Tensor, box: Tensor, size: tuple[int, int]) -> Tensor:
    """Stretch [M,M] over a box by grid_sample: the independent way."""
    x = (torch.arange(size[1]) + 0.5 - box[0]) / (box[2] - box[0]) * 2 - 1
    y = (torch.arange(size[0]) + 0.5 - box[1]) / (box[3] - box[1]) * 2 - 1
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)[None]
    return F.grid_sample(cells[None, None], grid, align_corners=False)[0, 0]


@pytest.mark.parametrize(
    "box",
    [
        [3.0, 2.0, 30.0, 20.0],
        [3.3, 2.7, 29.1, 19.9],
        [0.0, 0.0, 40.0, 24.0],
        [-7.0, -3.0, 55.0, 31.5],
        [12.2, 5.1, 12.9, 5.3],
        [35.0, 0.0, 40.0, 24.0],
    ],
)
def test_paste_is_bilinear_between_the_centres_of_cells(box: list[float]) -> None:
    cells = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(0))
    expected = sampled(cells[0], torch.tensor(box), (24, 40))
    drawn = paste(cells, torch.tensor([box]), (24, 40), threshold=0.5).dense()[0]
    sure = (expected - 0.5).abs() > 1e-4
    assert torch.equal(drawn[sure], (expected >= 0.5)[sure])


def test_paste_of_nothing_and_of_boxes_without_an_area() -> None:
    assert len(paste(torch.zeros(0, 28, 28), torch.zeros(0, 4), (5, 6), threshold=0.5)) == 0
    flat = paste(torch.ones(1, 28, 28), torch.tensor([[3.0, 2, 3, 2]]), (5, 6), threshold=0.5)
    assert flat.dense().sum() <= 1
    outside = paste(torch.ones(1, 28, 28), torch.tensor([[30.0, 20, 33, 22]]), (5, 6), threshold=0.5)
    assert outside.dense().sum() == 0


@pytest.mark.parametrize("box", [(0, 0, 5, 6), (1, 2, 4, 5), (0, 1, 5, 3), (2, 0, 3, 6)])
def test_runs_of_a_part_are_those_of_the_whole(box: tuple[int, int, int, int]) -> None:
    top, left, bottom, right = box
    inside = torch.rand(bottom - top, right - left, generator=torch.Generator().manual_seed(1)) < 0.7
    whole = torch.zeros(5, 6, dtype=torch.bool)
    whole[top:bottom, left:right] = inside
    bounds = run_bounds(inside.numpy(), top, left, 5)
    flat = torch.zeros(31, dtype=torch.long)
    flat[bounds[::2]] += 1
    flat[bounds[1::2]] -= 1
    assert torch.equal(flat.cumsum(0)[:30].view(6, 5).T == 1, whole)
    assert (bounds[1:] > bounds[:-1]).all()  # runs that touch are one
