"""Generated shapes to classify."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest
import torch

from vf.testing import check_dataset
from vf_cls.data_configs import Shapes


def test_one_shape_an_image() -> None:
    config = Shapes(train=200, val=20, test=20)
    check_dataset(config)
    assert config.info().classes == ("circle", "square", "triangle", "star", "cross")
    assert not config.info().multi_label
    train: Any = config.build("train")
    counts = Counter(int(train.labels_of(i)[0]) for i in range(200))
    assert all(len(train.labels_of(i)) == 1 for i in range(200))
    assert min(counts.values()) > 20
    assert train[5].target["labels"].tolist() == train.target(5, (64, 64))["labels"].tolist()
    assert train[5].id == train.id_of(5) == "shapes/train/000005"
    assert train.sizes().tolist() == [[64, 64]] * 200
    assert not torch.equal(train[0].image, config.build("val")[0].image)
    with pytest.raises(IndexError):
        train[200]


def test_several_shapes_an_image() -> None:
    config = Shapes(train=300, val=20, test=20, multi_label=True)
    check_dataset(config)
    assert config.info().multi_label
    train: Any = config.build("train")
    labels = [train.labels_of(i).tolist() for i in range(300)]
    assert {len(own) for own in labels} == {0, 1, 2, 3}
    assert all(own == sorted(set(own)) for own in labels)


def test_quick_to_draw() -> None:
    train = Shapes().build("train")
    train[0]
    began = time.process_time()
    for index in range(100):
        train[index]
    assert time.process_time() - began < 0.5


def test_sizes_in_order() -> None:
    with pytest.raises(ValueError, match=r"^min_side 0.5 > max_side 0.4$"):
        Shapes(min_side=0.5, max_side=0.4)
