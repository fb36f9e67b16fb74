"""LVIS v1: what is read, and every sentence about what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vf.errors import DataError
from vf.testing import check_dataset
from vf_det.map_configs import Lvis

SHARED = Path(__file__).parents[3] / "shared" / "data" / "coco_val128"


def test_contract(layouts: Any) -> None:
    check_dataset(Lvis(path=str(layouts.lvis()), masks=True))


def test_images_lie_where_cocos_split_has_them(layouts: Any) -> None:
    config = Lvis(path=str(layouts.lvis()))
    info = config.info()
    assert (info.classes, info.category_ids) == (("apple", "bun", "cog"), (1, 2, 3))
    assert dict(info.num_samples) == {"train": 1, "val": 2}
    val = config.build("val")
    assert [val[i].id for i in (0, 1)] == ["val2017/b.jpg", "train2017/a.jpg"]


def test_what_was_looked_for_comes_with_each_image(layouts: Any) -> None:
    first, second = (Lvis(path=str(layouts.lvis()), masks=True).build("val")[i].target for i in (0, 1))
    assert (first["negative"], first["not_exhaustive"]) == ((1,), (2, 0))
    assert first["frequency"].tolist() == [0]  # rare
    assert first["masks"].areas().tolist() == [60]
    assert (len(second["frequency"]), second["image_id"]) == (0, 2)


def test_frequencies_that_are_not_said_are_left_out(layouts: Any) -> None:
    config = Lvis(path=str(layouts.lvis(change=lambda d: d["categories"][0].pop("frequency"))))
    assert "frequency" not in config.build("val")[0].target


@pytest.mark.parametrize("base", ["", "images", "coco"])
def test_zips_of_coco_and_other_places(layouts: Any, base: str) -> None:
    root = layouts.lvis()
    layouts.zipped(root / "val2017", inner="val2017")
    for name in ("train2017", "val2017.zip"):
        (root / base).mkdir(exist_ok=True)
        (root / name).rename(root / base / name)
    config = Lvis(path=str(root), images="coco" if base == "coco" else "")
    assert [config.build("val")[i].size for i in (0, 1)] == [(30, 40)] * 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda d: d["images"][0].update(neg_category_ids=[7]),
            "image 1: neg_category_ids has 7, which is no category id",
        ),
        (
            lambda d: d["images"][0].update(not_exhaustive_category_ids=3),
            "image 1: not_exhaustive_category_ids has 3, which is no category id",
        ),
        (lambda d: d["images"][0].pop("coco_url"), "image 0 of the list lacks 'id' or 'file_name'"),
    ],
)
def test_mistakes_are_one_line(layouts: Any, change: Callable[[Any], None], sentence: str) -> None:
    root = layouts.lvis(change=change)
    with pytest.raises(DataError) as error:
        Lvis(path=str(root)).info()
    assert error.value.problems[0] == f"{root}/lvis_v1_train.json: {sentence}"


def test_images_that_are_nowhere(layouts: Any) -> None:
    root = layouts.lvis()
    (root / "train2017").rename(root / "train")
    with pytest.raises(DataError) as error:
        Lvis(path=str(root)).info()
    assert error.value.problems == (
        f"{root}/lvis_v1_train.json: its images lie in train2017, which are not all in {root}/images, {root}; "
        "set data.images",
    )


def test_sniff(layouts: Any) -> None:
    assert Lvis.sniff(str(layouts.folder)) is None
    root = str(layouts.lvis())
    assert Lvis.sniff(root) == {"path": root}
    layouts.coco("lvis")
    assert Lvis.sniff(root) is None


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")
def test_three_real_images() -> None:
    config = Lvis(path=str(SHARED), val="annotations/lvis_val_3images.json", masks=True)
    assert len(config.info().classes) == 1230
    dataset = config.build("val")
    assert sum(len(dataset[i].target["masks"]) for i in range(3)) == 8
