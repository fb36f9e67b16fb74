"""Cityscapes from gtFine: what is read, and every sentence about what is wrong."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.data.cityscapes import PALETTE, STUFF, THINGS, objects
from vf_det.map_configs import Cityscapes
from vf_det.masks import Masks


def test_contract(layouts: Any) -> None:
    check_dataset(Cityscapes(path=str(layouts.cityscapes()), masks=True, semantic=True))


def test_objects_are_read_from_the_map(layouts: Any) -> None:
    config = Cityscapes(path=str(layouts.cityscapes()), masks=True)
    sample = config.build("train")[0]
    target = sample.target
    assert sample.id == "ulm/ulm_000000_000019_leftImg8bit.png"
    assert target["boxes"].tolist() == [[30, 10, 32, 16], [5, 20, 15, 24]]
    assert [config.info().classes[k] for k in target["labels"]] == ["person", "car"]
    assert (target["area"].tolist(), target["iscrowd"].tolist()) == ([12, 40], [False, False])
    assert isinstance(target["masks"], tv_tensors.Mask)
    assert target["masks"].sum((1, 2)).tolist() == [12, 40]
    assert target["masks"][1, 20:24, 5:15].all()


def test_groups_are_crowds_for_evaluation_only(layouts: Any) -> None:
    target = Cityscapes(path=str(layouts.cityscapes()), masks=True).build("val")[0].target
    assert target["iscrowd"].tolist() == [True, False, False]
    assert target["labels"].tolist() == [7, 0, 2]
    assert target["boxes"][0].tolist() == [0, 0, 9, 3]
    assert isinstance(target["masks"], Masks)
    assert target["masks"].areas().tolist() == target["area"].tolist() == [27, 12, 40]
    assert target["void"].nonzero()[0].tolist() == [29] * 40
    assert "void" not in Cityscapes(path=str(layouts.cityscapes("again")), masks=True).build("train")[0].target


def test_the_semantic_map_counts_on_after_the_classes(layouts: Any) -> None:
    config = Cityscapes(path=str(layouts.cityscapes()), semantic=True)
    info = config.info()
    names = info.classes + info.stuff
    assert len(names) == len(PALETTE) == len(info.category_ids) == 19
    train, val = (config.build(split)[0].target["semantic"] for split in ("train", "val"))  # type: ignore[arg-type]
    assert isinstance(train, tv_tensors.Mask)
    assert isinstance(val, np.ndarray)
    assert train.tolist() == val.tolist()
    assert [names[val[y, x]] for y, x in ((21, 6), (25, 0), (0, 0), (12, 31))] == ["car", "road", "bicycle", "person"]
    assert (val[29] == 255).all()


def test_a_test_split_without_labels_can_be_predicted(layouts: Any) -> None:
    config = Cityscapes(path=str(layouts.cityscapes()), semantic=True, masks=True)
    assert dict(config.info().num_samples) == {"train": 1, "val": 1, "test": 1}
    assert config.info().notes == ("test: has no labels: it can be predicted, not measured",)
    target = config.build("test")[0].target
    assert (len(target["boxes"]), len(target["masks"]), "semantic" in target) == (0, 0, False)


def test_maps_against_a_slow_reading() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        ids = rng.choice([0, 3, 7, 24, 26, 24000, 26001, 26002, 33005], 6)
        pixels = ids[rng.integers(0, 6, (9, 13))].astype(np.uint16)
        found = objects(pixels, with_crowd=True)
        wanted = [i for i in sorted(set(pixels.ravel().tolist())) if (i // 1000 if i >= 1000 else i) in THINGS.values()]
        assert found.ids.tolist() == wanted
        for id_, label, box, area in zip(found.ids, found.labels, found.boxes, found.areas, strict=True):
            rows, columns = np.nonzero(pixels == id_)
            assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert area == len(rows)
            assert list(THINGS.values())[label] == (id_ // 1000 if id_ >= 1000 else id_)
        assert (objects(pixels, with_crowd=False).ids >= 1000).all()


def test_nothing_but_road(layouts: Any) -> None:
    found = objects(np.full((4, 5), STUFF["road"], np.uint16), with_crowd=True)
    assert (len(found.ids), found.boxes.shape, found.labels.dtype) == (0, (0, 4), np.int64)


def test_labels_without_decoding_the_image(layouts: Any) -> None:
    config = Cityscapes(path=str(layouts.cityscapes()))
    train: Any = config.build("train")
    val: Any = config.build("val")
    assert (train.labels_of(0).tolist(), val.labels_of(0).tolist()) == ([0, 2], [7, 0, 2])
    assert len(pickle.dumps(train)) < 3000


def test_zips_as_they_are_delivered(layouts: Any) -> None:
    root = layouts.cityscapes()
    expected = Cityscapes(path=str(root), masks=True).build("train")[0]
    for name in ("leftImg8bit", "gtFine"):
        (root / name / "x").mkdir()
        for split in ("train", "val", "test"):
            if (root / name / split).is_dir():
                (root / name / split).rename(root / name / "x" / split)
        (root / name / "x").rename(root / name / name)
        (root / name / "license.txt").touch()
        (layouts.zipped(root / name)).rename(root / f"{name}_trainvaltest.zip")
    config = Cityscapes(
        path=str(root), images="leftImg8bit_trainvaltest.zip", labels="gtFine_trainvaltest.zip", masks=True
    )
    sample = config.build("train")[0]
    assert torch.equal(sample.image, expected.image)
    assert torch.equal(sample.target["masks"], expected.target["masks"])
    assert dict(config.info().num_samples) == {"train": 1, "val": 1, "test": 1}


def test_the_fingerprint_changes_with_the_labels(layouts: Any) -> None:
    root = layouts.cityscapes()
    before = Cityscapes(path=str(root)).info().fingerprint
    file = root / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (30, 40)).astype(np.uint16)).save(file)
    assert Cityscapes(path=str(root)).info().fingerprint != before


def test_files_that_are_not_there(layouts: Any) -> None:
    root = layouts.cityscapes()
    with pytest.raises(DataError) as error:
        Cityscapes(path=str(root / "x")).info()
    assert error.value.problems == (f"{root}/x: no such folder; data.path names the folder of the data set",)
    with pytest.raises(DataError) as error:
        Cityscapes(path=str(root), labels="gtCoarse").info()
    assert error.value.problems == (f"{root}/gtCoarse: no such folder or zip; data.labels names it",)
    labels = root / "gtFine" / "train" / "ulm" / "ulm_000000_000019_gtFine_instanceIds.png"
    labels.unlink()
    with pytest.raises(DataError) as error:
        Cityscapes(path=str(root)).info()
    assert error.value.problems == (f"{labels}: no such file; its image is there",)
    with pytest.raises(DataError, match=r"holds no images like train/CITY/\*_leftImg8bit.png$"):
        Cityscapes(path=str(root), images="gtFine").info()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda f: f.write_bytes(b"GIF89a"), "expected a PNG of labels; it is none, or cut off after 6 bytes"),
        (
            lambda f: f.write_bytes(f.read_bytes()[:-12]),
            "expected a PNG of labels; it is none, or cut off after {size} bytes",
        ),
        (
            lambda f: Image.new("RGB", (40, 30)).save(f),
            "expected a PNG with one channel of labels, got 3 channels",
        ),
        (
            lambda f: Image.new("P", (40, 30)).save(f),
            "expected a PNG with one channel of labels, got a palette",
        ),
        (
            lambda f: f.write_bytes(f.read_bytes()[:40] + b"IEND"),
            "expected a PNG with one channel of labels, got what cannot be decoded",
        ),
        (
            lambda f: Image.new("L", (20, 10)).save(f),
            "is 10×20 (height × width), its image is 30×40",
        ),
    ],
)
def test_maps_that_are_none(layouts: Any, make: Any, sentence: str) -> None:
    root = layouts.cityscapes()
    file = root / "gtFine" / "val" / "bonn" / "bonn_000001_000019_gtFine_instanceIds.png"
    make(file)
    with pytest.raises(DataError) as error:
        Cityscapes(path=str(root)).build("val")[0]
    assert error.value.problems == (f"{file}: {sentence.format(size=file.stat().st_size)}",)


def test_sniff(layouts: Any) -> None:
    assert Cityscapes.sniff(str(layouts.folder)) is None
    root = layouts.cityscapes()
    assert Cityscapes.sniff(str(root)) == {"path": str(root)}
    layouts.zipped(root / "gtFine", inner="gtFine")
    assert Cityscapes.sniff(str(root)) == {"path": str(root)}


def test_indices_and_splits_that_are_not_there(layouts: Any) -> None:
    root = layouts.cityscapes()
    for split in ("train", "val"):
        with pytest.raises(IndexError):
            Cityscapes(path=str(root)).build(split)[1]  # type: ignore[arg-type]
    (root / "leftImg8bit" / "test" / "rome" / "rome_000000_000019_leftImg8bit.png").unlink()
    with pytest.raises(DataError, match=r": has no split 'test'; it has train, val$"):
        Cityscapes(path=str(root)).build("test")
    assert [f.text for f in Cityscapes(path=str(root)).check()] == ["train: 1 images", "val: 1 images"]
