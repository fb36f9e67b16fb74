"""Samples without pixels: from data sets that tell all or little, joined, chosen, and named in a new folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from vf.data.entries import Chained, Entries
from vf.data.placing import Placing, new_names
from vf.data.sample import Sample
from vf.data.storage import Folder
from vf.errors import DataError


class Plain:
    """Knows nothing without decoding."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        image = tv_tensors.Image(torch.full((3, 4, 6), index, dtype=torch.uint8))
        return Sample(image, {"labels": torch.tensor([index % 3])}, self.names[index])


class Files(Plain):
    """Files of a folder, which are never decoded."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        super().__init__(names)
        self.folder = folder
        for index, name in enumerate(names):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(bytes([index]))

    def __getitem__(self, index: int) -> Sample:
        raise AssertionError("decodes")

    def id_of(self, index: int) -> str:
        return self.names[index]

    def sizes(self) -> Any:
        return np.full((len(self), 2), (4, 6))

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        return {"labels": torch.tensor([index % 3]), "size": size}

    def labels_of(self, index: int) -> list[int]:
        return [index % 3]

    def file_of(self, index: int) -> tuple[Folder, str]:
        return Folder(self.folder), self.names[index]


def test_what_a_data_set_tells_is_not_decoded(tmp_path: Path) -> None:
    entries = Entries(Files(tmp_path, ["a.jpg", "b.jpg"]))
    [first, second] = list(entries)
    assert (second.id, second.size, second.target["size"]) == ("b.jpg", (4, 6), (4, 6))
    assert (first.id, entries.labels(1).tolist(), entries.path(1)) == ("a.jpg", [1], tmp_path / "b.jpg")
    assert entries.image(1) == b"\x01"


def test_what_it_does_not_tell_is_decoded() -> None:
    entries = Entries(Plain(["a", "b"]))
    assert [(e.id, e.size, e.target["labels"].tolist()) for e in entries] == [("a", (4, 6), [0]), ("b", (4, 6), [1])]
    assert (entries.name(1), entries.labels(1).tolist(), entries.file(1)) == ("b", [1], None)
    assert entries.image(0).startswith(b"\x89PNG")


def test_joined_chosen_and_translated(tmp_path: Path) -> None:
    one, other = Entries(Plain(["a", "b", "c"])), Entries(Files(tmp_path, ["d.jpg", "e.jpg"]), labelled=False)
    chain = Chained([one.translated(np.array([7, 8, 9])), other])
    assert [chain.name(i) for i in range(len(chain))] == ["a", "b", "c", "d.jpg", "e.jpg"]
    assert not chain.labelled
    chosen = chain.select([4, 1])
    assert [e.id for e in chosen] == ["e.jpg", "b"]
    assert [e.target["labels"].tolist() for e in chosen] == [[1], [8]]
    assert [chosen.labels(i).tolist() for i in range(2)] == [[1], [8]]
    assert chosen.path(0) == tmp_path / "e.jpg"
    assert [e.id for e in one.select([2, 0])] == ["c", "a"]
    with pytest.raises(IndexError):
        chain[5]


@pytest.mark.parametrize(
    ("names", "flat", "expected"),
    [
        (["x/a.jpg", "x/b.jpg"], False, ["a.jpg", "b.jpg"]),
        (["x/y/a.jpg", "x/z/b.jpg"], False, ["y/a.jpg", "z/b.jpg"]),
        (["x/y/a.jpg", "x/z/b.jpg"], True, ["y_a.jpg", "z_b.jpg"]),
        (["xy/a.jpg", "xz/b.jpg"], False, ["xy/a.jpg", "xz/b.jpg"]),
        (["a.jpg", "x/b.jpg"], False, ["a.jpg", "x/b.jpg"]),
        (["../../a.jpg", "../b.jpg", "/root/c.jpg"], False, ["a.jpg", "b.jpg", "root/c.jpg"]),
        (["shapes/1", "shapes/2"], False, ["1.png", "2.png"]),
        (["a.jpg", "a.png"], False, ["a.jpg", "a.png"]),
        ([], False, []),
    ],
)
def test_names_in_a_new_folder(names: list[str], flat: bool, expected: list[str]) -> None:
    assert new_names(Entries(Plain(names)), flat=flat) == expected


def test_names_that_would_be_one() -> None:
    with pytest.raises(DataError) as error:
        new_names(Entries(Plain(["x/a.jpg", "../x/a.jpg"])), flat=False)
    assert str(error.value) == "images 'x/a.jpg' and '../x/a.jpg' would both be called 'x/a.jpg'; rename one"


def test_images_stay_are_copied_or_linked(tmp_path: Path) -> None:
    entries = Entries(Files(tmp_path / "in", ["s/a.jpg"]))
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert Placing(entries, "keep", tmp_path / "out", base=tmp_path / "out").put(0) == "../in/s/a.jpg"
    assert Placing(entries, "copy", tmp_path / "c", base=tmp_path).put(0) == "a.jpg"
    assert Placing(entries, "link", tmp_path / "l", base=tmp_path).put(0) == "a.jpg"
    assert (tmp_path / "c" / "a.jpg").read_bytes() == (tmp_path / "l" / "a.jpg").read_bytes() == b"\x00"
    assert (tmp_path / "l" / "a.jpg").is_symlink()
    with pytest.raises(DataError, match=r"^image 'a': is no file of its own; say --copy to write it as one$"):
        Placing(Entries(Plain(["a"])), "keep", tmp_path, base=tmp_path).put(0)
