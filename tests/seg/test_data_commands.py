"""``vf data`` on maps: counted, drawn, written as folders, and what is published."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vf_seg
from vf.recipes import resolve_data
from vf_seg.data_configs import Camvid, Folders

Vf = Callable[..., Any]


@pytest.fixture(autouse=True)
def work(layouts: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work where the data sets are."""
    monkeypatch.chdir(layouts.folder)
    path: Path = layouts.folder
    return path


def done(typed: Vf, *arguments: str) -> list[str]:
    said = typed("data", *arguments)
    assert (said.code, said.err) == (0, ""), said.err
    lines: list[str] = said.out.splitlines()
    return lines


def refused(typed: Vf, *arguments: str) -> str:
    said = typed("data", *arguments)
    assert said.code == 2, said.out
    return str(said.err)


def test_check(typed: Vf, layouts: Any) -> None:
    root = layouts.camvid()
    assert done(typed, "check", "--data", "camvid")[-1] == "ok    nothing stands in the way of a training"
    layouts.map("camvid/valannot/0001TP_2.png", [0, 12])
    line = (
        f"error: val: value 12 (600 pixels in 1 of 2 maps read), first in {root.name}/valannot/0001TP_2.png: no class "
        "and no ignored value; name it in the recipe"
    )
    said = typed("data", "check", "--data", "camvid")
    assert said.code == 2
    assert line in (said.out + said.err).splitlines()


def test_stats(typed: Vf, layouts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    layouts.camvid()
    monkeypatch.setattr("vf_seg.data.pairs.decode", lambda *_, **__: pytest.fail("decodes an image"))
    lines = done(typed, "stats", "--data", "camvid", "--json", "told.json")
    assert lines[1:4] == [
        "  split            train     val",
        "  images               2       2",
        "  pixels ignored  25.0 %  25.0 %",
    ]
    at = lines.index("  pixels of class         train           val")
    assert lines[at + 1 : at + 4] == [
        "  sky              600 (33.3 %)  600 (33.3 %)",
        "  road             600 (33.3 %)  600 (33.3 %)",
        "  car              600 (33.3 %)  600 (33.3 %)",
    ]
    told = json.loads(Path("told.json").read_text())
    assert told["val"]["classes"]["sky"] == {"pixels": 600, "images": 2}
    assert told["val"]["ignored"] == 0.25


def test_browse_says_which_part_each_class_has(typed: Vf, layouts: Any) -> None:
    layouts.camvid()
    done(typed, "browse", "--data", "camvid", "--number", "1", "--out", "pages")
    page = Path("pages/index.html").read_text()
    assert (
        '<i style="background:#808080"></i>sky 25.0 %<i style="background:#804080"></i>road 25.0 %'
        '<i style="background:#400080"></i>car 25.0 %<i style="background:transparent"></i>ignored 25.0 %'
    ) in page
    assert Path("pages/0001.jpg").stat().st_size > 500


@pytest.mark.parametrize("how", [(), ("--copy",)])
def test_convert(typed: Vf, layouts: Any, how: tuple[str, ...]) -> None:
    layouts.camvid()
    done(typed, "convert", "camvid", "out", *how)
    assert Path("out/images/train/0001TP_1.png").is_symlink() is (how == ())
    given, written = Camvid(path="camvid"), resolve_data("out")
    assert isinstance(written, Folders)
    assert written.info().classes == given.info().classes
    for split in ("train", "val"):
        for index in range(2):
            one, other = (data.build(split)[index] for data in (given, written))  # type: ignore[arg-type]
            assert np.array_equal(one.image, other.image)
            assert np.array_equal(one.target["semantic"], other.target["semantic"])


def test_splits_that_nobody_labelled_are_written_without_maps(typed: Vf, layouts: Any) -> None:
    layouts.ade20k()
    done(typed, "convert", "ade20k", "out", "--copy")
    assert sorted(p.name for p in Path("out/images/test").iterdir()) == ["ADE_test_00000001.jpg"]
    assert not Path("out/masks/test").exists()
    assert resolve_data("out").info().unlabelled == ("test",)


def test_merge_brings_maps_into_one_order(typed: Vf, layouts: Any) -> None:
    for name, classes in (("one", "road\nsky\n"), ("two", "sky\nroad\ncar\n")):
        layouts.image(f"{name}/images/train/{name}.jpg")
        layouts.map(f"{name}/masks/train/{name}.png", [0, 1])
        (layouts.folder / name / "classes.txt").write_text(classes)
    done(typed, "merge", "one", "two", "--out", "both", "--copy")
    data = Folders(path="both", holdout=0.0)
    assert data.info().classes == ("road", "sky", "car")
    maps = {sample.id: sample.target["semantic"] for sample in map(data.build("train").__getitem__, range(2))}
    rows = {Path(name).stem: values[0, ::39].tolist() for name, values in maps.items()}
    assert rows == {"one": [0, 1], "two": [1, 0]}


def test_split_keeps_all(typed: Vf, layouts: Any) -> None:
    layouts.camvid()
    done(typed, "split", "--data", "camvid", "--fractions", ".5,.5", "--stratify", "--out", "parts")
    assert dict(Folders(path="parts", holdout=0.0).info().num_samples) == {"train": 2, "val": 2}


def test_all_that_is_published_is_described() -> None:
    for name, cls in vf_seg.vf_downloads().items():
        files = cls().build()
        assert files, name
        assert all(re.fullmatch(r"https?://[\w.-]+/[\w./-]+\.(zip|tar)", file.url) for file in files)
    assert [file.part for file in vf_seg.vf_downloads()["loveda"]().build()] == ["train", "val", "test"]
