"""Labels of other data come into the model's class order by name."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.relabel import relabel
from vf.data.sample import Sample
from vf.errors import DataError


class One:
    """One image with objects of class 0, 1, 2."""

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Sample:
        boxes = torch.arange(12.0).view(3, 4)
        target = {"labels": torch.tensor([0, 1, 2]), "boxes": boxes, "note": "kept"}
        return Sample(image=tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)), target=target, id="a")


def test_the_same_list_changes_nothing() -> None:
    data = One()
    assert relabel(data, theirs=("a", "b", "c"), ours=("a", "b", "c")) == (data, "")


def test_another_order_is_translated() -> None:
    data, note = relabel(One(), theirs=("a", "b", "c"), ours=("c", "b", "a"))
    assert note == "classes matched by name: 3 of 3"
    assert data[0].target["labels"].tolist() == [2, 1, 0]


def test_objects_of_unknown_classes_are_left_out_and_said() -> None:
    data, note = relabel(One(), theirs=("a", "b", "c"), ours=("c", "x", "a"))
    assert note == ("classes matched by name: 2 of 3; objects of b are not counted: the model does not know them")
    target = data[0].target
    assert target["labels"].tolist() == [2, 0]
    assert target["boxes"].tolist() == [[0, 1, 2, 3], [8, 9, 10, 11]]
    assert target["note"] == "kept"
    assert len(data) == 1


class Mapped(One):
    """One image 2×3 whose pixels have a class."""

    def __getitem__(self, index: int) -> Sample:
        pixels = tv_tensors.Mask(torch.tensor([[0, 1, 2], [255, 3, 0]], dtype=torch.uint8))
        return Sample(
            image=tv_tensors.Image(torch.zeros(3, 2, 3, dtype=torch.uint8)), target={"semantic": pixels}, id="a"
        )


def test_pixels_of_unknown_classes_are_ignored() -> None:
    data, _ = relabel(Mapped(), theirs=("a", "b", "c"), ours=("c", "x", "a"))
    pixels = data[0].target["semantic"]
    assert isinstance(pixels, tv_tensors.Mask)
    assert pixels.dtype == torch.uint8
    assert pixels.tolist() == [[2, 255, 0], [255, 255, 2]]


def test_a_map_of_evaluation_stays_an_array() -> None:
    class Array(Mapped):
        def __getitem__(self, index: int) -> Sample:
            sample = super().__getitem__(index)
            return attrs.evolve(sample, target={"semantic": sample.target["semantic"].numpy()})

    data, _ = relabel(Array(), theirs=("a", "b", "c"), ours=("c", "x", "a"))
    pixels = data[0].target["semantic"]
    assert type(pixels) is np.ndarray
    assert (pixels.dtype, pixels.tolist()) == (np.uint8, [[2, 255, 0], [255, 255, 2]])


def test_no_common_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"the data's classes \(a, b\) and the model's \(x\) have no name in common"):
        relabel(One(), theirs=("a", "b"), ours=("x",))
