"""COCO's panoptic form and semantic maps beside COCO: what is read, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch
from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.data.panoptic import segment_ids
from vf_det.data.stuff import COCO_STUFF
from vf_det.map_configs import CocoPanoptic, CocoStuff
from vf_det.masks import Masks

SHARED = Path(__file__).parents[3] / "shared" / "data" / "coco_val128"


def test_contract(layouts: Any) -> None:
    check_dataset(CocoPanoptic(path=str(layouts.panoptic()), masks=True))
    check_dataset(CocoStuff(path=str(layouts.stuff()), masks=True))


def test_ids_of_colours() -> None:
    pixels = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [255, 255, 255]]], np.uint8)
    assert segment_ids(pixels).tolist() == [[1, 256, 65536, (1 << 24) - 1]]


def test_things_come_first_and_stuff_counts_on(layouts: Any) -> None:
    info = CocoPanoptic(path=str(layouts.panoptic())).info()
    assert (info.classes, info.stuff, info.category_ids) == (("car", "person"), ("sky",), (4, 9, 2))
    assert info.palette == ((4, 5, 6), (7, 8, 9), (1, 2, 3))
    assert dict(info.num_samples) == {"train": 2, "val": 2}


def test_what_an_image_has_in_evaluation(layouts: Any) -> None:
    target = CocoPanoptic(path=str(layouts.panoptic()), masks=True).build("val")[0].target
    assert target["boxes"].tolist() == [[5, 10, 15, 20], [20, 10, 40, 20]]
    assert (target["labels"].tolist(), target["iscrowd"].tolist()) == ([1, 0], [False, True])
    assert target["area"].tolist() == [100, 200]
    assert isinstance(target["masks"], Masks)
    assert target["masks"].areas().tolist() == [100, 200]
    assert isinstance(target["panoptic"], np.ndarray)
    assert (target["panoptic"].dtype, target["panoptic"].shape) == (np.int32, (30, 40))
    assert [target["panoptic"][y, x] for y, x in ((0, 0), (10, 5), (10, 20), (25, 0))] == [300, 70000, 5, 0]
    assert target["segments"] == [
        {"id": 300, "category": 2, "isthing": False, "iscrowd": False, "area": 500},
        {"id": 70000, "category": 1, "isthing": True, "iscrowd": False, "area": 100},
        {"id": 5, "category": 0, "isthing": True, "iscrowd": True, "area": 200},
    ]
    assert [target["semantic"][y, x] for y, x in ((0, 0), (10, 5), (10, 20), (25, 0))] == [2, 1, 255, 255]


def test_what_an_image_has_in_training(layouts: Any) -> None:
    first, second = (CocoPanoptic(path=str(layouts.panoptic()), masks=True).build("train")[i].target for i in (0, 1))
    assert not {"panoptic", "segments"} & set(first)
    for key, dtype in (("semantic", torch.uint8), ("masks", torch.bool)):
        assert isinstance(first[key], tv_tensors.Mask)
        assert first[key].dtype == dtype
    assert first["boxes"].tolist() == [[5, 10, 15, 20]]  # without the crowd
    assert first["masks"].shape == (1, 30, 40)
    assert first["masks"][0, 10:20, 5:15].all()
    assert first["masks"].sum() == 100
    assert (len(second["boxes"]), len(second["masks"])) == (0, 0)
    assert (second["semantic"] == 255).all()


def test_a_val_held_out_keeps_its_maps(layouts: Any) -> None:
    root = layouts.panoptic()
    (root / "annotations" / "panoptic_val2017.json").unlink()
    config = CocoPanoptic(path=str(root))
    built = (config.build_as(split, evaluation=True) for split in ("train", "val"))  # type: ignore[arg-type]
    samples = {s.id: s for s in (dataset[0] for dataset in built)}
    assert len(samples["train_a.jpg"].target["segments"]) == 3
    assert len(samples["train_b.jpg"].target["segments"]) == 0


def test_maps_in_zips(layouts: Any) -> None:
    root = layouts.panoptic()
    expected = CocoPanoptic(path=str(root)).build("val")[0].target["panoptic"]
    layouts.zipped(root / "annotations" / "panoptic_val2017", inner="panoptic_val2017")
    layouts.zipped(root / "val2017", inner="val2017")
    for keys in ({}, {"maps_val": "annotations/panoptic_val2017.zip", "images_val": "val2017.zip"}):
        assert (CocoPanoptic(path=str(root), **keys).build("val")[0].target["panoptic"] == expected).all()


def segment(change: dict[str, Any]) -> Callable[[Any], None]:
    return lambda data: data["annotations"][0]["segments_info"][1].update(change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (segment({"id": 0}), "segment 0: expected an id from 1 to 16777215"),
        (segment({"id": "x"}), "segment 'x': expected an id from 1 to 16777215"),
        (segment({"category_id": 77}), "segment 70000 has category_id 77, not in categories (2 sky, 4 car, 9 person)"),
        (
            segment({"bbox": [1, 2, -3, 4]}),
            "segment 70000: expected bbox of 4 numbers x, y, width, height, got [1, 2, -3, 4]",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=8),
            "annotation 0 of the list: image_id 8: no image has this id",
        ),
        (lambda d: d["annotations"][1].update(image_id=1), "annotation 1 of the list: image_id 1: has two"),
        (lambda d: d["annotations"][0].pop("segments_info"), "annotation of image 1 has no list 'segments_info'"),
        (
            lambda d: d["annotations"][0].update(file_name="x.png"),
            "the map 'x.png' of image 1 is not in {root}/annotations/panoptic_train2017",
        ),
        (
            lambda d: d["images"][1].update(file_name="x.jpg"),
            "image 'x.jpg' (id 2) is not in {root}/train2017",
        ),
    ],
)
def test_mistakes_are_one_line(layouts: Any, change: Callable[[Any], None], sentence: str) -> None:
    root = layouts.panoptic(change=change)
    with pytest.raises(DataError) as error:
        CocoPanoptic(path=str(root)).info()
    place = f"{root}/annotations/panoptic_train2017.json: "
    assert error.value.problems[0] == place + sentence.format(root=root)


def test_a_map_with_a_segment_that_the_json_does_not_list(layouts: Any) -> None:
    root = layouts.panoptic(change=lambda d: d["annotations"][0]["segments_info"].pop(0))
    with pytest.raises(DataError) as error:
        CocoPanoptic(path=str(root)).build("val")[0]
    file = f"{root}/annotations/panoptic_val2017/val_a.png"
    assert error.value.problems == (f"{file}: has segment 300, which the json does not list",)


def test_maps_that_are_nowhere(layouts: Any) -> None:
    root = layouts.panoptic()
    (root / "annotations" / "panoptic_train2017").rename(root / "maps")
    file = f"{root}/annotations/panoptic_train2017"
    with pytest.raises(DataError) as error:
        CocoPanoptic(path=str(root)).info()
    assert error.value.problems == (f"{file}.json: no folder {file} of PNG files; set data.maps_train",)
    assert CocoPanoptic(path=str(root), maps_train="maps").info().num_samples["train"] == 2


def test_sniff(layouts: Any) -> None:
    assert CocoPanoptic.sniff(str(layouts.folder)) is None
    root = str(layouts.panoptic())
    assert CocoPanoptic.sniff(root) == {"path": root}
    layouts.coco("panoptic")
    assert CocoPanoptic.sniff(root) is None
    assert CocoStuff.sniff(root) is None


def test_semantic_maps_beside_coco(layouts: Any) -> None:
    config = CocoStuff(path=str(layouts.stuff()), masks=True)
    info = config.info()
    assert (info.classes, info.stuff) == (("person", "car"), COCO_STUFF)
    assert info.category_ids == (1, 3, *range(92, 183))
    assert (len(COCO_STUFF), COCO_STUFF[0], COCO_STUFF[-1]) == (91, "banner", "wood")
    train, val = (config.build(split)[0].target for split in ("train", "val"))  # type: ignore[arg-type]
    assert isinstance(train["semantic"], tv_tensors.Mask)
    assert train["semantic"].dtype == torch.uint8
    assert isinstance(val["semantic"], np.ndarray)
    names = info.classes + info.stuff
    assert [names[val["semantic"][0, x]] for x in (0, 30)] == ["person", "branch"]
    assert (val["semantic"][29] == 255).all()
    assert isinstance(val["masks"], Masks)


def test_stuff_named_by_a_json(layouts: Any) -> None:
    root = layouts.stuff()
    layouts.panoptic("coco_stuff")
    config = CocoStuff(path=str(root), stuff="annotations/panoptic_val2017.json", first_id=0)
    assert config.info().stuff == ("sky",)
    assert set(np.unique(config.build("val")[0].target["semantic"])) == {255}  # 0 and 93 are no ids of this list


def test_maps_that_lack(layouts: Any) -> None:
    root = layouts.stuff()
    maps = root / "stuffthingmaps" / "val2017"
    (maps / "val_b.png").unlink()
    with pytest.raises(DataError) as error:
        CocoStuff(path=str(root)).info()
    assert error.value.problems == (f"{maps}/val_b.png: no such map of image val_b.jpg",)
    (root / "stuffthingmaps").rename(root / "maps")
    for keys, sentence in (
        ({}, f"{root}: no maps of train; set data.maps_train"),
        (
            {"maps_train": "x"},
            f"{root}/x: no such folder or zip; data.maps_train names one under data.path",
        ),
        (
            {"stuff": "x.json"},
            f"{root}/x.json: no such file; data.stuff names a json relative to data.path",
        ),
    ):
        with pytest.raises(DataError) as error:
            CocoStuff(path=str(root), **keys).info()
        assert error.value.problems == (sentence,)
    (maps := root / "maps" / "val2017").mkdir(exist_ok=True)
    Image.new("I;16", (40, 30)).save(maps / "val_b.png")
    config = CocoStuff(path=str(root), maps_train="maps/train2017", maps_val="maps/val2017")
    with pytest.raises(DataError, match=r"val_b.png: expected a PNG of 8 bits, got 16$"):
        config.build("val")[1]


def test_a_val_held_out_finds_its_maps_among_those_of_train(layouts: Any) -> None:
    root = layouts.stuff()
    (root / "annotations" / "instances_val2017.json").unlink()
    (root / "stuffthingmaps" / "val2017" / "val_a.png").unlink()
    (root / "stuffthingmaps" / "val2017" / "val_b.png").unlink()
    (root / "stuffthingmaps" / "val2017").rmdir()
    assert CocoStuff(path=str(root)).build("val")[0].target["semantic"].shape == (30, 40)


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_real_maps_agree_with_each_other() -> None:
    panoptic = CocoPanoptic(path=str(SHARED), masks=True)
    semantic = CocoStuff(
        path=str(SHARED),
        val="annotations/instances_val2017_things.json",
        maps_val="semantic_masks",
        stuff="annotations/panoptic_val2017.json",
        first_id=0,
    )
    info = panoptic.info()
    assert (len(info.classes), len(info.stuff)) == (80, 53)
    assert semantic.info().stuff == info.stuff
    one = {s.id: s.target for s in map(panoptic.build("val").__getitem__, range(12))}
    other = {s.id: s.target for s in map(semantic.build("val").__getitem__, range(100))}
    for id_, target in one.items():
        known = target["semantic"] != 255
        assert (target["semantic"][known] == other[id_]["semantic"][known]).all()
        assert target["masks"].areas().tolist() == target["area"].tolist()


def test_the_padding_of_a_batch_is_ignored(layouts: Any) -> None:
    dataset = CocoPanoptic(path=str(layouts.panoptic())).build("train")
    picture = layouts.folder / "panoptic" / "train2017" / "train_b.jpg"
    maps = layouts.folder / "panoptic" / "annotations" / "panoptic_train2017" / "train_b.png"
    for file in (picture, maps):
        Image.new("RGB", (44, 30)).save(file)
    batch = Collate(fill=114)([Fitted(dataset[i], dataset[i].size) for i in (0, 1)])
    assert isinstance(batch, Batch)
    first = batch.per_image()[0]
    assert (first["semantic"][:, 40:] == 255).all()
    assert (first["semantic"][:, :40].numpy() == dataset[0].target["semantic"].numpy()).all()
