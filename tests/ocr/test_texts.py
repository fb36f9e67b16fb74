"""Transcriptions follow the rows that core drops."""

from __future__ import annotations

import pickle

import torch
from torchvision import tv_tensors

from vf.data.pipeline import drop_empty_boxes
from vf.data.sample import Sample
from vf_ocr.texts import Texts

THREE = Texts(("a", "", "ß"))


def test_is_a_tuple() -> None:
    assert THREE == ("a", "", "ß")
    assert len(THREE) == 3
    assert list(THREE) == ["a", "", "ß"]
    assert pickle.loads(pickle.dumps(THREE)) == THREE
    assert type(pickle.loads(pickle.dumps(THREE))) is Texts


def test_chooses_rows() -> None:
    assert THREE[2] == "ß"
    assert THREE[torch.tensor(0)] == "a"
    assert THREE[torch.tensor([True, False, True])] == ("a", "ß")
    assert THREE[torch.tensor([2, 0])] == ("ß", "a")
    assert THREE[torch.zeros(3, dtype=torch.bool)] == ()
    assert THREE[1:] == ("", "ß")
    assert all(isinstance(t, Texts) for t in (THREE[1:], THREE[torch.tensor([True, False, True])]))


def test_follows_boxes_that_core_drops() -> None:
    boxes = tv_tensors.BoundingBoxes([[0, 0, 5, 5], [0, 0, 0.5, 5], [1, 1, 4, 4]], format="XYXY", canvas_size=(8, 8))
    sample = Sample(tv_tensors.Image(torch.zeros(3, 8, 8, dtype=torch.uint8)), {"boxes": boxes, "texts": THREE}, "x")
    assert drop_empty_boxes(sample).target["texts"] == ("a", "ß")
