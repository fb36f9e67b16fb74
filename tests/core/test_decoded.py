"""Decoded pixels in files: the same samples, made once, mapped, and made again where the image changed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import tv_tensors

import vf
from vf.data.decode import decode
from vf.data.decoded import Decoded, kept
from vf.data.sample import Sample
from vf.data.storage import Folder
from vf.decoded_configs import Decoded as Config
from vf.errors import DataError


class Pictures:
    """Images of a folder with a map and, where asked, a text."""

    def __init__(self, folder: Path, *, text: bool, evaluation: bool) -> None:
        self.folder, self.text, self.evaluation = folder, text, evaluation

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        image = decode(self.folder / self.id_of(index))
        return Sample(image, self.target(index, (6, 8)), self.id_of(index))

    def id_of(self, index: int) -> str:
        return f"{index}.png"

    def file_of(self, index: int) -> tuple[Folder, str]:
        return Folder(self.folder), self.id_of(index)

    def sizes(self) -> Any:
        return np.array([[6, 8]] * 3)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        map_ = torch.full(size, index, dtype=torch.uint8)
        semantic = map_.numpy() if self.evaluation else tv_tensors.Mask(map_)
        return {"semantic": semantic} | ({"text": f"number {index}"} if self.text else {})


@vf.config
class Data:
    """Pictures."""

    folder: str = vf.field(help="of the images")
    text: bool = vf.field(default=False, help="targets have a text")

    def info(self) -> vf.DatasetInfo:
        return vf.DatasetInfo(classes=("a",), task="echo", num_samples={"train": 3, "val": 3}, fingerprint="f1")

    def build(self, split: Any) -> Any:
        return Pictures(Path(self.folder), text=self.text, evaluation=split != "train")

    def check(self) -> list[vf.Finding]:
        return [vf.Finding("note", "three pictures")]

    @classmethod
    def sniff(cls, path: str) -> None:
        return None


@pytest.fixture
def data(tmp_path: Path) -> Data:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for index in range(3):
        pixels = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
    return Data(folder=str(tmp_path / "images"))


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("split", ["train", "val"])
def test_samples_are_the_same(
    data: Data, tmp_path: Path, split: Any, text: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Data(folder=data.folder, text=text)
    config = Config(of=own, folder=str(tmp_path / "kept"), splits=("train", "val"))
    dataset, plain = config.build(split), own.build(split)
    first = [dataset[i] for i in range(3)]
    monkeypatch.setattr(Pictures, "__getitem__", lambda *_: pytest.fail("decodes again"))
    again: Any = pickle.loads(pickle.dumps(config.build(split)))
    second = [again[i] for i in range(3)]
    monkeypatch.undo()
    for index in range(3):
        expected = plain[index]
        for found in (first[index], second[index]):
            assert found.id == expected.id
            assert torch.equal(found.image, expected.image)
            assert type(found.target["semantic"]) is type(expected.target["semantic"])
            assert np.array_equal(found.target["semantic"], expected.target["semantic"])
            assert found.target.keys() == expected.target.keys()
    assert again.id_of(2) == "2.png"
    assert len(again) == 3
    with pytest.raises(IndexError):
        again[3]
    with pytest.raises(AttributeError):
        again.no_such_thing()


def test_what_is_read_can_be_written_to_and_stays_in_the_file(data: Data, tmp_path: Path) -> None:
    dataset = Config(of=data, folder=str(tmp_path / "kept")).build("train")
    before = dataset[0].image.clone()
    sample = dataset[0]
    sample.image.zero_()
    sample.target["semantic"].fill_(7)
    assert torch.equal(dataset[0].image, before)
    assert int(dataset[0].target["semantic"].max()) == 0


def test_an_image_of_another_size_is_decoded_again(data: Data, tmp_path: Path) -> None:
    dataset = Config(of=data, folder=str(tmp_path / "kept")).build("train")
    old = dataset[1].image
    Image.new("RGB", (8, 6), (1, 2, 3)).save(Path(data.folder) / "1.png")
    assert dataset[1].image.unique().tolist() == [1, 2, 3]
    assert old.unique().tolist() != [1, 2, 3]


def test_only_the_splits_that_are_named(data: Data, tmp_path: Path) -> None:
    config = Config(of=data, folder=str(tmp_path / "kept"))
    assert isinstance(config.build("train"), Decoded)
    assert isinstance(config.build("val"), Pictures)
    assert config.info() == data.info()


def test_room_is_told_and_asked_for(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deep" / "kept"
    config = Config(of=data, folder=str(folder))
    need = 3 * (4096 + 4096 + 4096)
    assert kept(np.array([[6, 8]] * 3)) == need
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Use", (), {"free": 10**9}))
    assert [(f.level, f.text) for f in config.check()] == [
        ("note", "three pictures"),
        ("note", f"{folder}: the decoded pixels take 0.0 MB, 0.0 MB are there, 1.0 GB free"),
    ]
    monkeypatch.setattr("shutil.disk_usage", lambda place: type("Use", (), {"free": 10**3}))
    assert config.check()[-1] == vf.Finding(
        "error",
        f"{folder}: the decoded pixels take 0.0 MB, 0.0 MB are there, 0.0 MB free; make room, or name another place "
        "with data.folder",
    )
    dataset: Any = config.build("train")
    assert sum(dataset.path(i).stat().st_size for i in range(3) if dataset[i]) == need
    assert config.check()[-1].level == "note"


def test_a_disk_that_is_full(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset: Any = Config(of=data, folder=str(tmp_path / "kept")).build("train")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    path = dataset.path(0)
    with pytest.raises(DataError) as caught:
        dataset[0]
    assert str(caught.value) == (
        f"{path}: cannot be written: No space left on device; make room or name another place with data.folder"
    )
    assert list((tmp_path / "kept").rglob("*.part")) == []


def test_a_file_that_is_damaged(data: Data, tmp_path: Path) -> None:
    dataset: Any = Config(of=data, folder=str(tmp_path / "kept")).build("train")
    sample = dataset[0]
    assert sample.id == "0.png"
    dataset.path(0).write_bytes(b"")
    with pytest.raises(
        DataError, match=r"0.*: cannot be read \(cannot mmap an empty file\); remove it, and it is made"
    ):
        dataset[0]
    dataset.path(0).write_bytes(b"x" * 9000)
    with pytest.raises(DataError, match="remove it, and it is made again"):
        dataset[0]
