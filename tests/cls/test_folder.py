"""Images in a folder for each class: every layout, and one line for each mistake."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vf.data.storage import open_storage
from vf.errors import DataError
from vf.testing import check_dataset
from vf_cls.data.source import findings
from vf_cls.data_configs import Folder, List


def picture(path: Path, *, size: tuple[int, int] = (8, 6), level: int = 90) -> Path:
    """Write a grey image of width × height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return path


def pictures(root: Path, *names: str) -> Path:
    """Write images of different content."""
    for number, name in enumerate(names):
        picture(root / name, level=number)
    return root


def problems(config: Any) -> Sequence[str]:
    with pytest.raises(DataError) as error:
        config.info()
    return error.value.problems


SPLITS = ("train/dog/1.png", "train/cat/2.jpg", "train/cat/deep/3.png", "val/dog/4.png", "val/cat/5.png")


def test_classes_are_the_sorted_folders_of_train(tmp_path: Path) -> None:
    config = Folder(path=str(pictures(tmp_path, *SPLITS, "test/dog/6.png")))
    check_dataset(config)
    info = config.info()
    assert info.classes == ("cat", "dog")
    assert info.num_samples == {"train": 3, "val": 2, "test": 1}
    assert (info.task, info.multi_label, info.notes, info.unlabelled) == ("cls", False, (), ())
    train: Any = config.build("train")
    names = ["train/cat/2.jpg", "train/cat/deep/3.png", "train/dog/1.png"]
    assert [train.id_of(i) for i in range(3)] == names
    assert [train.labels_of(i).tolist() for i in range(3)] == [[0], [0], [1]]
    assert train.sizes().tolist() == [[6, 8]] * 3
    assert train[2].target["labels"].tolist() == [1]
    assert train[2].target["labels"].dtype == torch.int64
    assert train[2].size == (6, 8)
    assert train.objects().labels.tolist() == [0, 0, 1]
    assert train.objects().counts.tolist() == [1, 1, 1]
    storage, name = train.file_of(0)
    assert Path(storage.where(name)).read_bytes() == (tmp_path / "train/cat/2.jpg").read_bytes()
    with pytest.raises(IndexError):
        train[3]


def test_what_is_read_is_the_same_in_a_zip(tmp_path: Path) -> None:
    root = pictures(tmp_path / "data", *SPLITS)
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as file:
        for path in sorted(root.rglob("*.*")):
            file.write(path, path.relative_to(root))
    plain, zipped = Folder(path=str(root)), Folder(path=str(tmp_path / "data.zip"))
    assert plain.info() == zipped.info()
    for one, other in zip(plain.build("val"), zipped.build("val"), strict=True):
        assert one.id == other.id
        assert torch.equal(one.image, other.image)


def test_splits_may_be_zips_of_their_own(tmp_path: Path) -> None:
    for split, names in {"train": ("dog/1.png", "cat/2.png"), "test": ("dog/3.png", "cat/4.png")}.items():
        root = pictures(tmp_path / "made", *(f"{split}/{name}" for name in names))
        with zipfile.ZipFile(tmp_path / f"tiny_{split}.zip", "w") as file:
            for name in names:
                file.write(root / split / name, f"{split}/{name}")
    config = Folder(path=str(tmp_path), train="tiny_train.zip", val="tiny_test.zip")
    check_dataset(config)
    assert config.info().num_samples == {"train": 2, "val": 2}
    val: Any = config.build("val")
    assert [val.id_of(i) for i in range(2)] == ["val/cat/4.png", "val/dog/3.png"]
    alone = Folder(path=str(tmp_path / "tiny_test.zip")).info()
    assert list(alone.num_samples) == ["test"]
    assert problems(Folder(path=str(tmp_path), train="other.zip")) == (
        f"{tmp_path}/other.zip: no such folder or zip; it is data.train",
    )


def test_class_folders_alone_are_train_and_a_part_is_held_out(tmp_path: Path) -> None:
    names = [f"{kind}/{n}.png" for kind in ("cat", "dog") for n in range(10)]
    config = Folder(path=str(pictures(tmp_path, *names)))
    assert config.info().num_samples == {"train": 18, "val": 2}
    note = "there is no val split: 2 of 20 images are held out for it, chosen by hash"
    assert config.info().notes == (note,)
    assert Folder(path=str(tmp_path), holdout=0.0).info().num_samples == {"train": 20}
    assert config.as_delivered().info().num_samples == {"train": 20}
    built: list[Any] = [config.build("train"), config.build("val")]
    ids = [{one.id_of(i) for i in range(len(one))} for one in built]
    assert ids[0] | ids[1] == set(names)
    assert not ids[0] & ids[1]


def test_every_mistake_is_one_line(tmp_path: Path) -> None:
    root = pictures(tmp_path, *SPLITS, "val/dgo/6.png")
    (root / "train" / "cow").mkdir()
    assert problems(Folder(path=str(root))) == (
        f"{root}/train/cow: class folder without an image; put images into it, or take it away",
        f"{root}/val/dgo: class 'dgo' is not in train (cat, cow, dog); did you mean 'dog'?",
    )
    assert problems(Folder(path=str(root / "none"))) == (
        f"{root}/none: no such folder; data.path names the folder of the data set",
    )
    empty = root / "empty"
    empty.mkdir()
    assert problems(Folder(path=str(empty))) == (
        f"{empty}: holds no class folders; expected train/CLASS/IMAGE, or CLASS/IMAGE",
    )
    with pytest.raises(DataError) as error:
        Folder(path=str(pictures(tmp_path / "ok", *SPLITS))).build("test")
    assert error.value.problems == (f"{tmp_path}/ok: has no split 'test'; it has train, val",)


def test_a_val_without_folders_needs_a_list(tmp_path: Path) -> None:
    root = pictures(tmp_path, "train/dog/1.png", "train/cat/2.png", "val/a.png", "val/b.png")
    assert problems(Folder(path=str(root))) == (
        f"{root}/val: holds 2 images and no class folders; put them into folders, or say data.val_list, a file with "
        "lines 'IMAGE LABEL'",
    )
    assert problems(Folder(path=str(root), val_list="v.txt")) == (f"{root}/v.txt: no such list; it is data.val_list",)
    (root / "v.txt").write_text("a.png dgo\nb.png 2\nc.png cat\n")
    assert problems(Folder(path=str(root), val_list="v.txt")) == (
        f"{root}/v.txt:1: label 'dgo' is not a class, or an index below 2; did you mean 'dog'?",
        f"{root}/v.txt:2: label '2' is not a class, or an index below 2",
        f"{root}/v.txt:3: image 'c.png' is not in the folder of val",
    )


WNIDS = ("n01440764", "n02012849", "n03126707")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("val.txt", "ILSVRC2012_val_00000001.JPEG 2\nILSVRC2012_val_00000002.JPEG 0\n"),
        ("meta/val.txt", "ILSVRC2012_val_00000001.JPEG n03126707\nILSVRC2012_val_00000002.JPEG 0\n"),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000001,n03126707 85 1 499 272 \n"
            "ILSVRC2012_val_00000002,n01440764 1 2 3 4\n",
        ),
    ],
)
def test_imagenet_with_names_and_a_flat_val(tmp_path: Path, file: str, text: str) -> None:
    train = [f"{wnid}/{wnid}_1.JPEG" for wnid in WNIDS]
    nest = tmp_path / "ILSVRC/Data/CLS-LOC" if file.endswith("csv") else tmp_path
    pictures(nest / "train", *train)
    pictures(nest / "val", "ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG")
    pictures(nest / "test", "ILSVRC2012_test_00000001.JPEG")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    config = Folder(path=str(tmp_path))
    said = "class folders are WordNet ids; data.classes names a file with lines 'n01440764 tench' for names"
    unlabelled = "test: has no labels: it can be predicted, not measured"
    assert config.info().notes == (said, unlabelled)
    assert config.info().classes == WNIDS
    assert config.info().unlabelled == ("test",)
    val: Any = config.build("val")
    assert [(val.id_of(i)[-5:], val.labels_of(i).tolist()) for i in range(2)] == [(".JPEG", [2]), (".JPEG", [0])]
    test: Any = config.build("test")
    assert test[0].target["labels"].tolist() == []
    lines = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane"]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    named = Folder(path=str(tmp_path)).info()
    assert named.classes == ("tench", "crane (n02012849)", "crane (n03126707)")
    assert named.notes == (unlabelled,)


def test_a_file_of_names(tmp_path: Path) -> None:
    root = pictures(tmp_path, *SPLITS)
    (root / "names.txt").write_text("dog Hund\n")
    assert problems(Folder(path=str(root), classes="names.txt")) == ("class folder 'cat' is not in the file of names",)
    (root / "names.txt").write_text("dog Hund\ncat Katze\ncat Kater")
    assert problems(Folder(path=str(root), classes="names.txt")) == (
        f"{root}/names.txt:3: folder 'cat' is named twice",
    )
    assert problems(Folder(path=str(root), classes="no.txt")) == (f"{root}/no.txt: no such file; it is data.classes",)
    (root / "names.txt").write_text("dog\tgood dog\ncat Katze\ncow Kuh\n")
    assert Folder(path=str(root), classes="names.txt").info().classes == ("Katze", "good dog")


def test_what_there_is_to_find(tmp_path: Path) -> None:
    root = pictures(tmp_path, *SPLITS, "val/cat/beside.txt.png", "train/over.png")
    for name in ("train/dog/same.png", "val/dog/same.png"):
        picture(root / name, level=200)
    picture(root / "train/cat/alike.png", level=1)
    picture(root / "val/cat/alike.png", level=2)
    config = Folder(path=str(root))
    assert config.info().notes == (f"{root}/train: 1 image beside the class folders left out, the first over.png",)
    assert [f"{f.level}: {f.text}" for f in config.check()] == [
        "note: train: 5 images: cat 3, dog 2",
        "note: val: 5 images: cat 3, dog 2",
        "warning: 1 images are in train and in val, the first val/dog/same.png: val measures what was trained on",
    ]


def test_a_class_without_images_in_a_held_out_train_is_told() -> None:
    from vf.data.storage import Folder as Place
    from vf_cls.data.labels import Builder
    from vf_cls.data.source import Part, Source

    builder = Builder()
    builder.add("a.png", (0,))
    source = Source(("cat", "dog"), {"train": Part(Place(Path()), builder.freeze())})
    assert [f.text for f in findings(source)][1] == "train: has no image of class dog"


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (SPLITS, True),
        (("cat/1.png", "dog/2.png"), True),
        (("cat/1.png",), False),
        (("images/1.png", "masks/1.png"), False),
        (("train/images/1.png", "train/labels/1.png"), False),
        (("train/1.png", "trainannot/1.png"), False),
        (("train2017/1.png", "val2017/1.png"), False),
        (("1.png", "2.png"), False),
    ],
)
def test_recognised(tmp_path: Path, names: Sequence[str], known: bool) -> None:
    root = str(pictures(tmp_path, *names))
    assert (Folder.sniff(root) == {"path": root}) is known
    assert List.sniff(root) is None


def test_lists_beside_class_folders_are_not_passed_over(tmp_path: Path) -> None:
    root = pictures(tmp_path, "cat/1.png", "dog/2.png")
    (root / "train.txt").write_text("cat/1.png cat\n")
    assert Folder.sniff(str(root)) is None
    assert List.sniff(str(root)) == {"path": str(root)}


def test_it_is_small_to_pickle(tmp_path: Path) -> None:
    from vf_cls.data.images import LabelledImages
    from vf_cls.data.labels import Builder
    from vf_cls.data.source import Part

    builder = Builder()
    for number in range(10_000):
        builder.add(f"train/n01440764/n01440764_{number:05d}.JPEG", (number % 1000,))
    part = Part(open_storage(tmp_path), builder.freeze())
    assert len(pickle.dumps(LabelledImages(part))) < 10_000 * 70
    chosen = part.select([3, 9_999]).labels
    assert [chosen.name(i)[-10:] for i in range(2)] == ["00003.JPEG", "09999.JPEG"]
    assert np.array_equal(chosen.labels, [3, 999])
    assert chosen.fingerprint(("a",)) != chosen.fingerprint(("b",))
