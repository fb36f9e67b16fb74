"""``vf data``: labelled images are downloaded, counted, cut, joined and written in other forms."""

from __future__ import annotations

import gzip
import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from PIL import Image

import vf.downloading
import vf_cls
from vf.downloads import RemoteFile
from vf_cls.data_configs import Folder, List, Shapes

Vf = Callable[..., Any]


def done(typed: Vf, *arguments: str) -> list[str]:
    said = typed("data", *arguments)
    assert (said.code, said.err) == (0, ""), said.err
    lines: list[str] = said.out.splitlines()
    return lines


def refused(typed: Vf, *arguments: str) -> str:
    said = typed("data", *arguments)
    assert said.code == 2, said.out
    line: str = said.err
    return line.removeprefix("error: ").removesuffix("\n")


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``pets`` with six cats and four dogs, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        path = tmp_path / "pets" / "train" / ("cat" if number < 6 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), 20 * number, np.uint8)).save(path)
    return tmp_path


def labels(config: Any, split: Any) -> dict[str, list[str]]:
    built, classes = config.build(split), config.info().classes
    return {Path(built.id_of(i)).name: [classes[k] for k in built.labels_of(i)] for i in range(len(built))}


PETS = {f"{n}.png": ["cat" if n < 6 else "dog"] for n in range(10)}


@pytest.mark.usefixtures("work")
def test_counted(typed: Vf) -> None:
    lines = [line.split() for line in done(typed, "stats", "--data", "pets", "--set", "data.holdout=0")]
    assert ["images", "10"] in lines
    assert ["cat", "6", "(60.0", "%)"] in lines
    assert ["train:", "image", "width,", "px", *["8"] * 7] in lines


@pytest.mark.usefixtures("work")
def test_cut_by_class_and_joined_again(typed: Vf) -> None:
    done(typed, "split", "--data", "pets", "--fractions", ".5,.5", "--names", "train,val", "--stratify", "--out", "cut")
    assert Path("cut/train/cat").is_dir()
    config = Folder(path="cut")
    parts = [labels(config, split) for split in ("train", "val")]
    assert [sum(own == ["dog"] for own in part.values()) for part in parts] == [2, 2]
    assert parts[0] | parts[1] == PETS
    assert all(path.is_symlink() for path in Path("cut").rglob("*.png"))
    done(typed, "convert", "cut", "copied", "--copy")
    assert not any(path.is_symlink() for path in Path("copied").rglob("*.png"))
    done(typed, "merge", "cut", "copied", "--out", "both", "--to", "list", "--split", "train")
    joined = List(path="both", classes="classes.txt", holdout=0.0)
    assert joined.info().num_samples == {"train": 2 * len(parts[0])}
    assert labels(joined, "train") == parts[0]


@pytest.mark.usefixtures("work")
def test_lists_and_folders_say_the_same(typed: Vf) -> None:
    said = done(typed, "convert", "pets", "as_list", "--to", "list")
    assert said[0] == "note: the order of the classes is in classes.txt: --set data.classes=classes.txt"
    config = List(path="as_list", classes="classes.txt", holdout=0.0)
    assert labels(config, "train") == PETS
    assert Path("as_list/train.csv").read_text().splitlines()[:2] == ["image,label", "../pets/train/cat/0.png,cat"]
    done(typed, "convert", "as_list", "again", "--task", "cls", "--set", "data.classes=classes.txt")
    assert labels(Folder(path="again", holdout=0.0), "train") == PETS


@pytest.mark.usefixtures("work")
def test_several_labels_are_written_as_lists(typed: Vf) -> None:
    from vf.data.entries import Entries
    from vf.errors import DataError
    from vf_cls.writers.folder import FolderWriter
    from vf_cls.writers.list import ListWriter

    config = Shapes(train=6, val=1, test=1, multi_label=True)
    entries = {"train": Entries(config.build("train"))}
    Path("out").mkdir()

    def track(items: Any, label: str, total: int) -> Any:
        return items

    ListWriter().write(Path("out"), config.info(), entries, images="copy", track=track)
    again = List(path="out", classes="classes.txt", holdout=0.0)
    assert again.info().multi_label
    theirs, ours = again.build("train"), config.build("train")
    for one, other in zip(theirs, ours, strict=True):
        assert one.target["labels"].tolist() == other.target["labels"].tolist()
        assert np.array_equal(one.image, other.image)
    with pytest.raises(DataError, match=r"^images with several labels have no one folder; write --to list$"):
        FolderWriter().write(Path("f"), config.info(), entries, images="copy", track=track)
    odd = attrs.evolve(config.info(), classes=("T-shirt/top",), multi_label=False)
    with pytest.raises(DataError, match=r"^class 'T-shirt/top' cannot be the name of a folder; write --to list$"):
        FolderWriter().write(Path("f"), odd, entries, images="copy", track=track)
    odd = attrs.evolve(odd, classes=(" a",))
    with pytest.raises(DataError, match=r"^class ' a' cannot stand in a list; rename it$"):
        ListWriter().write(Path("f"), odd, entries, images="copy", track=track)


@pytest.mark.usefixtures("work")
def test_images_of_one_name_keep_their_folders(typed: Vf) -> None:
    for folder in ("a", "b"):
        path = Path("twins/cat") / folder / "1.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4), (len(folder), 0, 0)).save(path)
    done(typed, "convert", "twins", "out", "--from", "folder")
    assert sorted(p.name for p in Path("out/train/cat").iterdir()) == ["a_1.png", "b_1.png"]


@pytest.mark.usefixtures("work")
def test_a_page_of_pictures(typed: Vf) -> None:
    done(typed, "browse", "--data", "pets", "--number", "3")
    assert "1 cat" in Path("browse.html").read_text()


def served(monkeypatch: pytest.MonkeyPatch, contents: dict[str, bytes]) -> None:
    """Let small files stand for the large ones of every download."""
    for cls in vf_cls.vf_downloads().values():
        original = cls.build

        def build(self: Any, original: Any = original) -> list[RemoteFile]:
            return [attrs.evolve(file, size=None, digest="") for file in original(self)]

        monkeypatch.setattr(cls, "build", build)
    monkeypatch.setattr(
        vf.downloading, "download", lambda url, final, **_: final.write_bytes(contents[url.rpartition("/")[2]])
    )


def tar(folder: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(folder, folder.name)
    return data.getvalue()


@pytest.mark.parametrize("options", [(), ("--no-unzip",)])
def test_cifar_ends_in_its_layout(typed: Vf, work: Path, monkeypatch: pytest.MonkeyPatch, options: Any) -> None:
    folder = work / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (folder / name).write_bytes(bytes(3073))
    served(monkeypatch, {"cifar-10-binary.tar.gz": tar(folder)})
    done(typed, "download", "cifar10", "--to", "c", *options)
    assert Path("c/cifar-10-batches-bin").is_dir() == (not options)
    assert done(typed, "check", "--data", "c")[-1].startswith("ok")


def test_mnist_stays_packed(typed: Vf, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, one = (
        bytes((0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28)) + bytes(784),
        bytes((0, 0, 8, 1, 0, 0, 0, 1, 3)),
    )
    contents = {f"{stem}-images-idx3-ubyte.gz": gzip.compress(images) for stem in ("train", "t10k")}
    contents |= {f"{stem}-labels-idx1-ubyte.gz": gzip.compress(one) for stem in ("train", "t10k")}
    served(monkeypatch, contents)
    for name in ("mnist", "fashion_mnist"):
        done(typed, "download", name)
        assert len(list(Path(name).glob("*.gz"))) == 4
        assert done(typed, "check", "--data", name)[-1].startswith("ok")


def test_imagenette_gets_names(typed: Vf, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = work / "imagenette2-160"
    for split in ("train", "val"):
        for wnid in ("n01440764", "n03888257"):
            path = root / split / wnid / f"{split}.JPEG"
            path.parent.mkdir(parents=True)
            Image.new("RGB", (4, 4), (len(split), 0, 0)).save(path)
    served(monkeypatch, {"imagenette2-160.tgz": tar(root)})
    done(typed, "download", "imagenette160")
    assert done(typed, "check", "--data", "imagenette160")[-2].strip() == "2 classes: tench, parachute"


def test_all_that_is_published_is_described() -> None:
    for name, cls in vf_cls.vf_downloads().items():
        files = cls().build()
        assert files, name
        assert all(re.fullmatch(r"https?://[\w.-]+/[\w./~-]+\.(gz|tgz)", file.url) for file in files)
        assert all(file.digest for file in files)
        assert name.startswith("imagenette") or all(file.size for file in files)
