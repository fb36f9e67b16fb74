"""The layouts of data sets: what is read, what values mean, and every sentence about what is wrong."""

from __future__ import annotations

import pickle
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

import vf_seg
from vf.errors import DataError
from vf.testing import check_dataset
from vf_seg.data import names
from vf_seg.data_configs import ADE20K, Camvid, Cityscapes, CocoStuff, LoveDA, Potsdam, Shapes, Voc12

MEANT = {
    "camvid": (Camvid, [0, 3, 8, 255]),
    "cityscapes": (Cityscapes, [0, 2, 13, 255, 18]),
    "ade20k": (ADE20K, [255, 0, 149]),
    "voc12": (Voc12, [0, 1, 255, 20]),
    "coco_stuff": (CocoStuff, [0, 79, 170, 255]),
    "loveda": (LoveDA, [255, 0, 6]),
    "potsdam": (Potsdam, [0, 1, 5, 255]),
}


def refused(config: Any) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        config.info()
    return caught.value.problems


@pytest.mark.parametrize("name", MEANT)
def test_values_become_classes(name: str, layouts: Any) -> None:
    config, expected = MEANT[name]
    data = config(path=str(getattr(layouts, name)()))
    check_dataset(data)
    info = data.info()
    assert info.task == "seg"
    assert len(info.palette or ()) == len(info.category_ids) == len(info.classes)
    train, val = data.build("train")[0].target["semantic"], data.build("val")[0].target["semantic"]
    assert isinstance(train, tv_tensors.Mask)
    assert isinstance(val, np.ndarray)
    assert train.dtype == torch.uint8
    assert val.dtype == np.uint8
    assert list(dict.fromkeys(train[0].tolist())) == list(dict.fromkeys(val[29].tolist())) == expected
    assert len(pickle.dumps(data.build("train"))) < 5000


def test_published_lists_are_whole() -> None:
    counts = {"CITYSCAPES": 19, "ADE20K": 150, "VOC": 21, "LOVEDA": 7, "POTSDAM": 6, "CAMVID": 11, "COCO_STUFF": 171}
    for name, count in counts.items():
        listed, colours = getattr(names, name), getattr(names, f"{name}_COLOURS")
        assert len(listed) == len(set(listed)) == len(colours) == count
    assert len(names.CITYSCAPES_IDS) == 19
    assert sorted((*names.CITYSCAPES_IDS, *names.CITYSCAPES_VOID)) == [*range(34), 255]
    assert len(names.COCO_STUFF_IDS) == 171
    pairs = dict(zip(names.COCO_STUFF_IDS, names.COCO_STUFF, strict=True))
    assert [pairs[i] for i in (1, 13, 90, 92, 182)] == ["person", "stop sign", "toothbrush", "banner", "wood"]


@pytest.mark.parametrize("name", MEANT)
def test_folders_are_recognised_by_one_class(name: str, layouts: Any) -> None:
    path = str(getattr(layouts, name)())
    found = [known for known, cls in vf_seg.vf_datasets().items() if cls.sniff(path)]
    assert found == (["folders"] if name == "potsdam" else [name])


def test_camvid_states_its_rule_of_void(layouts: Any) -> None:
    path = str(layouts.camvid())
    ignored, kept = Camvid(path=path), Camvid(path=path, void="class")
    assert ignored.info().notes == ("void (value 11) is ignored: neither trained on nor measured",)
    assert kept.info().notes == ("void (value 11) is a class of its own, trained on and measured",)
    assert (len(ignored.info().classes), kept.info().classes[11]) == (11, "void")
    dataset: Any = kept.build("val")
    assert dataset.labels_of(0).tolist() == [0, 3, 8, 11]
    assert ignored.info().fingerprint != kept.info().fingerprint


def test_cityscapes_by_train_ids(layouts: Any) -> None:
    plain = Cityscapes(path=str(layouts.cityscapes("one")))
    trained = Cityscapes(path=str(layouts.cityscapes("two", kind="labelTrainIds")))
    assert np.array_equal(plain.build("val")[0].target["semantic"], trained.build("val")[0].target["semantic"])
    assert trained.info().category_ids == names.CITYSCAPES_IDS


def test_splits_without_maps_can_be_predicted(layouts: Any) -> None:
    for config in (Cityscapes(path=str(layouts.cityscapes())), ADE20K(path=str(layouts.ade20k()))):
        assert config.info().unlabelled == ("test",)
        assert "test: has no maps: it can be predicted, not measured" in config.info().notes
        dataset: Any = config.build("test")
        assert dataset[0].target == {}
        assert dataset.pixels().sum() == 0
    assert LoveDA(path=str(layouts.loveda())).info().unlabelled == ("test",)
    assert Voc12(path=str(layouts.voc12())).info().unlabelled == ("test",)


def test_cityscapes_as_zips(layouts: Any) -> None:
    root = layouts.cityscapes()
    expected = Cityscapes(path=str(root)).build("train")[0]
    for name in ("leftImg8bit", "gtFine"):
        layouts.zipped(root / name, inner=name).rename(root / f"{name}_trainvaltest.zip")
        shutil.rmtree(root / name)
    config = Cityscapes(path=str(root), images="leftImg8bit_trainvaltest.zip", labels="gtFine_trainvaltest.zip")
    sample = config.build("train")[0]
    assert torch.equal(sample.image, expected.image)
    assert torch.equal(sample.target["semantic"], expected.target["semantic"])
    assert sample.id == "ulm/ulm_000000_000019_leftImg8bit.png"
    missing = refused(Cityscapes(path=str(root)))
    assert missing == (f"{root}/leftImg8bit: no such folder or zip; data.images names it",)


def test_voc_with_sbd(layouts: Any) -> None:
    root = layouts.voc12aug()
    config = Voc12(path=str(root), augmented=True)
    assert dict(config.info().num_samples) == {"train": 2, "val": 1, "test": 1}
    assert [config.build("train")[i].id for i in range(2)] == ["2007_000032.jpg", "2008_000001.jpg"]
    (root / "ImageSets" / "Segmentation" / "trainaug.txt").unlink()
    assert refused(Voc12(path=str(root), augmented=True)) == (
        f"{root}/ImageSets/Segmentation/trainaug.txt: no such list of the images to train on; data.train names one "
        "relative to data.path",
    )
    assert refused(Voc12(path=str(layouts.voc12("bare")), augmented=True)) == (
        f"{layouts.folder}/bare/SegmentationClassAug: no such folder; it is made of SBD's contours (docs/datasets.md)",
    )


def test_voc_in_its_devkit(layouts: Any) -> None:
    layouts.voc12("devkit/VOC2012")
    config = Voc12(path=str(layouts.folder / "devkit"))
    assert config.build("train")[0].id == "2007_000032.jpg"
    assert Voc12.sniff(str(layouts.folder / "devkit")) is not None


def test_coco_stuff_by_train_ids(layouts: Any) -> None:
    a = CocoStuff(path=str(layouts.coco_stuff("a"))).build("val")[0]
    b = CocoStuff(path=str(layouts.coco_stuff("b", trained=True))).build("val")[0]
    assert np.array_equal(a.target["semantic"], b.target["semantic"])
    assert a.id == b.id == "val2017/000000000009.jpg"


def test_loveda_joins_its_scenes(layouts: Any) -> None:
    root = layouts.loveda()
    both = LoveDA(path=str(root))
    assert [both.build("train")[i].id for i in range(2)] == ["Train/Urban/1.png", "Train/Rural/2.png"]
    assert dict(LoveDA(path=str(root), scenes=("Rural",)).info().num_samples) == {"train": 1}
    layouts.zipped(root / "Train", inner="Train")
    expected = both.build("train")[1].image
    shutil.rmtree(root / "Train")
    again = LoveDA(path=str(root))
    assert torch.equal(again.build("train")[1].image, expected)
    assert LoveDA.sniff(str(root)) is not None
    with pytest.raises(ValueError, match=r"^scenes: is an empty list; expected Urban, Rural or both$"):
        LoveDA(path=str(root), scenes=())


def test_potsdam_by_values(layouts: Any) -> None:
    root = layouts.potsdam()
    for split in ("train", "val"):
        layouts.map(f"potsdam/ann_dir/{split}/2_10_0_0.png", [0, 1, 6])
    sample = Potsdam(path=str(root), maps="values").build("val")[0]
    assert list(dict.fromkeys(sample.target["semantic"][0].tolist())) == [255, 0, 5]


def test_what_is_missing(layouts: Any) -> None:
    root = layouts.camvid()
    (root / "trainannot" / "0001TP_2.png").unlink()
    assert refused(Camvid(path=str(root))) == (f"{root}/train/0001TP_2.png: has no map in {root}/trainannot",)
    (root / "train" / "0001TP_2.png").unlink()
    (root / "train" / "0001TP_1.png").unlink()
    assert dict(Camvid(path=str(root)).info().num_samples) == {"val": 2}
    assert refused(Camvid(path=str(layouts.folder / "none"))) == (
        f"{layouts.folder}/none: no such folder; data.path names the folder of the data set",
    )
    (layouts.folder / "empty").mkdir()
    assert refused(ADE20K(path=str(layouts.folder / "empty"))) == (
        f"{layouts.folder}/empty: holds no pairs of images and maps; expected images/training/*.jpg beside "
        "annotations/training/*.png",
    )
    with pytest.raises(DataError, match=r"has no split 'test'; it has val$"):
        Camvid(path=str(root)).build("test")


def test_lists_that_are_wrong(layouts: Any) -> None:
    root = layouts.voc12()
    lists = root / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("2007_000032\nnowhere\n")
    assert refused(Voc12(path=str(root))) == (
        f"{root}/JPEGImages/nowhere: no image of that name, which a list of train names",
    )
    (lists / "train.txt").write_text("2007_000032\n2007_000032\n")
    assert refused(Voc12(path=str(root))) == (f"{lists}/train.txt: names '2007_000032' twice",)
    (lists / "train.txt").write_text("\n")
    assert refused(Voc12(path=str(root))) == (f"{lists}/train.txt: names no image",)
    assert refused(Voc12(path=str(root), train="x.txt")) == (
        f"{root}/x.txt: no such list; lists are named relative to data.path",
    )


def test_shapes_have_a_map() -> None:
    config = Shapes(train=6, val=2, test=2, size=64)
    check_dataset(config)
    assert config.info().classes[0] == "background"
    dataset: Any = config.build("val")
    sample = dataset[1]
    assert set(np.unique(sample.target["semantic"])) == set(dataset.labels_of(1)) <= set(range(6))
    assert np.array_equal(dataset.target(1, (64, 64))["semantic"], sample.target["semantic"])
    assert dataset.sizes().tolist() == [[64, 64]] * 2
    assert Shapes(seed=1).info().fingerprint != Shapes().info().fingerprint
    with pytest.raises(ValueError, match=r"^min_objects 3 > max_objects 2$"):
        Shapes(min_objects=3, max_objects=2)
    with pytest.raises(ValueError, match=r"^min_side 0\.9 > max_side 0\.6$"):
        Shapes(min_side=0.9)


def test_a_fingerprint_changes_with_names_and_maps(layouts: Any) -> None:
    root = layouts.camvid()
    first = Camvid(path=str(root)).info().fingerprint
    assert Camvid(path=str(root)).info().fingerprint == first
    layouts.map("camvid/trainannot/0001TP_1.png", [1] * 20)
    assert Camvid(path=str(root)).info().fingerprint != first
