"""Letterbox: sizes, boxes, padding and normalisation, by hand."""

from __future__ import annotations

import pytest
import torch
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf.nn.preprocess import Letterbox


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((100, 100), (416, 416)),
        ((360, 480), (312, 416)),  # 360 * (416 / 480) is exactly 312
        ((360, 200), (416, 231)),  # 416 / 360 is no exact float: the long side must still reach 416
        ((200, 360), (231, 416)),
        ((416, 416), (416, 416)),
        ((1000, 1), (416, 1)),  # never empty
        ((1, 1000), (1, 416)),
    ],
)
def test_an_image_fits_and_keeps_its_ratio(given: tuple[int, int], expected: tuple[int, int]) -> None:
    sample = Sample(image=tv_tensors.Image(torch.zeros(3, *given, dtype=torch.uint8)), target={}, id="a")
    assert Letterbox(size=(416, 416)).fit(sample, with_target=True).size == expected


def test_boxes_follow_where_asked() -> None:
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[10.0, 20, 30, 40]]), format="XYXY", canvas_size=(100, 200))  # type: ignore[call-overload]
    image = tv_tensors.Image(torch.zeros(3, 100, 200, dtype=torch.uint8))
    sample = Sample(image=image, target={"boxes": boxes, "labels": torch.tensor([3])}, id="a")
    fitted = Letterbox(size=(64, 100)).fit(sample, with_target=True)
    assert fitted.size == (50, 100)
    assert fitted.target["boxes"].tolist() == [[5, 10, 15, 20]]
    assert fitted.target["labels"].tolist() == [3]
    assert Letterbox(size=(64, 100)).fit(sample, with_target=False).target is sample.target


def test_the_device_pads_and_normalises() -> None:
    rules = Letterbox(size=(2, 3), pad_value=9, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    images = torch.tensor([[[[1]], [[2]], [[7]]]], dtype=torch.uint8)
    out = rules(images, torch.tensor([[1, 1]]))
    assert out.dtype == torch.float32
    assert out[0, :, 0, 0].tolist() == [0.0, 0.0, 1.0]
    assert out[0, :, 1, 2].tolist() == [8.0, 3.5, 1.5]  # (9 - mean) / std


def test_blue_comes_first_where_the_network_eats_it_so() -> None:
    out = Letterbox(size=(1, 1), bgr=True)(torch.tensor([[[[1]], [[2]], [[3]]]], dtype=torch.uint8), torch.ones(1, 2))
    assert out.flatten().tolist() == [3.0, 2.0, 1.0]
