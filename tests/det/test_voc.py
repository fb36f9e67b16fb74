"""Pascal VOC: what is read, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.format_configs import Voc

Write = Callable[..., Path]
BCCD = Path(__file__).parents[3] / "shared" / "data" / "bccd_voc"


def test_contract(voc: Write) -> None:
    check_dataset(Voc(path=str(voc())))


def test_pixels_are_counted_from_one_and_difficult_is_for_evaluation_only(voc: Write) -> None:
    config = Voc(path=str(voc()))
    assert config.info().classes == ("cat", "dog")
    assert config.build("train")[0].target["boxes"].tolist() == [[0, 1, 10, 20]]
    target = config.build("val")[0].target
    assert target["boxes"].tolist() == [[0, 1, 10, 20], [4, 4, 40, 30]]
    assert target["labels"].tolist() == [1, 0]
    assert target["iscrowd"].tolist() == [False, True]


def test_difficult_objects_can_be_trained_on(voc: Write) -> None:
    assert len(Voc(path=str(voc()), keep_difficult=True).build("train")[0].target["boxes"]) == 2


def test_objects_held_out_stay_difficult(voc: Write) -> None:
    config = Voc(path=str(voc(lists={"trainval": "a\nb\n"})), keep_difficult=True)
    assert config.build("train")[0].target["iscrowd"].tolist() == [False, False]
    assert config.build("val")[0].target["iscrowd"].tolist() == [False, True]


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({"train": "a\n", "val": "b\n"}, {"train": 1, "val": 1}),
        ({"trainval": "a\nb\n", "val": "b 1\n"}, {"train": 1, "val": 1}),
        ({"train": "a\n", "test": "b\n"}, {"train": 1, "test": 1}),
        ({"test": "a\nb\n"}, {"test": 2}),
    ],
)
def test_splits(voc: Write, lists: dict[str, str], expected: dict[str, int]) -> None:
    assert dict(Voc(path=str(voc(lists=lists))).info().num_samples) == expected


def test_a_split_is_made_and_said_where_there_is_none(voc: Write) -> None:
    info = Voc(path=str(voc(lists={"train": "a\nb\n"}))).info()
    assert dict(info.num_samples) == {"train": 1, "val": 1}
    assert info.notes == ("there is no val split: 1 of 2 images are held out for it, chosen by hash",)


def test_a_box_without_area_is_left_out_and_said(voc: Write) -> None:
    root = voc(lambda t: t.replace("<xmax>10<", "<xmax>1<"))
    assert Voc(path=str(root)).info().notes[0] == "boxes without area, left out: 1, the first in a"


@pytest.mark.parametrize(
    ("edit", "line", "sentence"),
    [
        (lambda t: t.replace("<xmax>10<", "<xmax>0<"), 4, "xmax 0 < xmin 1; a box is xmin, ymin, xmax, ymax"),
        (
            lambda t: t.replace("<xmax>10</xmax>", ""),
            4,
            "expected numbers xmin, ymin, xmax, ymax in <bndbox>, got {'xmin': '1', 'ymin': '2', 'ymax': '20'}",
        ),
        (lambda t: t.replace("</object>", "</objekt>", 1), 8, "not valid XML: mismatched tag"),
    ],
)
def test_mistakes_are_one_line_with_their_place(
    voc: Write, edit: Callable[[str], str], line: int, sentence: str
) -> None:
    root = voc(edit)
    with pytest.raises(DataError) as error:
        Voc(path=str(root)).info()
    assert error.value.problems[0] == f"{root}/Annotations/a.xml:{line}: {sentence}"


def test_a_class_outside_the_list_names_the_near_one(voc: Write) -> None:
    root = voc()
    with pytest.raises(DataError) as error:
        Voc(path=str(root), classes=("cat", "dgo")).info()
    assert error.value.problems[0] == (
        f"{root}/Annotations/a.xml:4: class 'dog' is not in data.classes (cat, dgo); did you mean 'dgo'? "
        "(and 1 more like it)"
    )


def test_files_that_are_not_there(voc: Write) -> None:
    root = voc(lists={"train": "a\n", "val": "zz\n"})
    (root / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError) as error:
        Voc(path=str(root)).info()
    assert error.value.problems == (
        f"{root}/Annotations/zz.xml: no such file; it is listed in ImageSets/Main",
        f"{root}/Annotations/a.xml: its image 'a.jpg' is not in {root}/JPEGImages",
    )


def test_images_that_nobody_labelled_are_left_out_and_said(voc: Write) -> None:
    root = voc()
    for stem in ("c", "d"):
        (root / "JPEGImages" / f"{stem}.jpg").write_bytes(b"")
    notes = Voc(path=str(root)).info().notes
    assert notes == ("2 images in JPEGImages have no XML file and are left out, the first c.jpg",)


def test_names_with_spaces_in_a_list(voc: Write) -> None:
    root = voc(lists={"train": "a b\nb\n"})
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "jpg")):
        (root / folder / f"a.{suffix}").rename(root / folder / f"a b.{suffix}")
    assert sum(Voc(path=str(root)).info().num_samples.values()) == 2


def test_classes_as_a_text_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^must be a list of names, got the text 'cat'$"):
        Voc(path="x", classes="cat")  # type: ignore[arg-type]


def test_an_empty_data_set(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    with pytest.raises(DataError) as error:
        Voc(path=str(tmp_path)).info()
    assert error.value.problems == (f"{tmp_path}: holds no images: no *.xml in {tmp_path}/Annotations",)


def test_sniff(tmp_path: Path, voc: Write) -> None:
    assert Voc.sniff(str(tmp_path)) is None
    assert Voc.sniff(str(voc())) == {"path": str(tmp_path)}


@pytest.mark.skipif(not BCCD.is_dir(), reason="../shared is not here")
def test_blood_cells_with_their_two_empty_boxes() -> None:
    config = Voc(path=str(BCCD))
    info = config.info()
    assert info.classes == ("Platelets", "RBC", "WBC")
    assert dict(info.num_samples) == {"train": 205, "val": 87, "test": 72}
    assert info.notes == ("boxes without area, left out: 2, the first in BloodImage_00338",)
    assert {f.level for f in config.check()} == {"note"}


def test_difficult_objects_are_marked_for_evaluation(voc: Write) -> None:
    config = Voc(path=str(voc()), keep_difficult=True)
    for split in ("train", "val"):
        assert config.build(split)[0].target["difficult"].tolist() == [False, True]  # type: ignore[arg-type]
    assert "difficult" in Voc(path=str(voc(lambda t: t.replace("<difficult>1", "<difficult>0")))).build("val")[0].target


def test_years_side_by_side_are_joined(layouts: Any) -> None:
    config = Voc(path=str(layouts.voc()))
    assert dict(config.info().num_samples) == {"train": 1, "val": 1, "test": 1}
    samples = {config.build(split)[0].id for split in ("train", "val", "test")}  # type: ignore[arg-type]
    assert samples == {"VOC2007/000001.jpg", "VOC2007/000002.jpg", "VOC2012/2012_000001.jpg"}


def test_lists_by_name_as_the_benchmark_has_them(layouts: Any) -> None:
    lists: dict[str, Any] = {"train": ("VOC2007/trainval", "VOC2012/trainval"), "val": ("VOC2007/test",)}
    config = Voc(path=str(layouts.voc()), **lists)
    assert dict(config.info().num_samples) == {"train": 2, "val": 1}
    assert [config.build("train")[i].id for i in (0, 1)] == ["VOC2007/000001.jpg", "VOC2012/2012_000001.jpg"]
    assert config.build("train")[0].target["labels"].tolist() == [1]
    assert config.build("val")[0].target["difficult"].tolist() == [False, True]
    one = Voc(path=str(layouts.voc()), train=("VOC2012/trainval",), val=("VOC2012/trainval",))
    assert one.build("train")[0].id == "2012_000001.jpg"
    with pytest.raises(DataError) as error:
        Voc(path=str(layouts.voc()), train=("VOC2008/trainval",)).info()
    file = f"{layouts.folder}/VOCdevkit/VOC2008/ImageSets/Main/trainval.txt"
    assert error.value.problems == (
        f"{file}: no such list; data.train names lists as YEAR/LIST, like VOC2007/trainval",
    )


def test_years_in_a_zip_and_images_in_one(layouts: Any) -> None:
    expected = Voc(path=str(layouts.voc())).build("test")[0]
    layouts.zipped(layouts.folder / "VOCdevkit" / "VOC2012" / "JPEGImages")
    again = Voc(path=str(layouts.folder / "VOCdevkit")).build("train")[0]
    assert again.size == (30, 40)
    path = layouts.zipped(layouts.voc("VOCdevkit2"), inner="VOCdevkit")
    assert Voc.sniff(str(path)) == {"path": str(path)}
    sample = Voc(path=str(path)).build("test")[0]
    assert sample.id == expected.id
    assert (sample.image == expected.image).all()


def test_sizes_are_those_of_the_labels(voc: Write) -> None:
    dataset: Any = Voc(path=str(voc())).build("val")
    assert dataset.sizes().tolist() == [[30, 40]]
