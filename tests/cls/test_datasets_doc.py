"""docs/classification_data.md, tried command by command on folders laid out as it says; all transforms are there."""

from __future__ import annotations

import re
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import vf_cls
from vf.recipes import resolve

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "classification_data.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(line.partition("  #")[0]) for line in re.findall(r"^(vf .*)$", PAGE, re.MULTILINE)]
RECIPES = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(map(ord, str(path)))
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)).save(path)


def zipped(root: Path, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        for one in sorted(root.rglob("*.*")):
            file.write(one, one.relative_to(root.parent))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything that the page names, in the working folder."""
    for split in ("train", "val", "test"):
        for name in ("cat/1.jpg", "cat/2.jpg", "dog/3.jpg", "dog/4.jpg"):
            picture(tmp_path / "pets" / split / name)
    zipped(tmp_path / "pets/train", tmp_path / "zips/pets_train.zip")
    zipped(tmp_path / "pets/test", tmp_path / "zips/pets_test.zip")
    for wnid in ("n01440764", "n01443537"):
        picture(tmp_path / f"imagenet/train/{wnid}/{wnid}_1.JPEG")
    picture(tmp_path / "imagenet/val/ILSVRC2012_val_00000001.JPEG")
    (tmp_path / "imagenet/val.txt").write_text("ILSVRC2012_val_00000001.JPEG 1\n")
    for name in ("listed", "tagged"):
        for stem in ("cat/1.jpg", "dog/2.jpg"):
            picture(tmp_path / name / stem)
    (tmp_path / "listed/train.txt").write_text("cat/1.jpg cat\ndog/2.jpg dog\n")
    (tmp_path / "tagged/train.txt").write_text("cat/1.jpg cat|dog\ndog/2.jpg dog\n")
    (tmp_path / "cifar10").mkdir()
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        (tmp_path / "cifar10" / name).write_bytes(bytes(3073))
    (tmp_path / "cifar100").mkdir()
    for name in ("train.bin", "test.bin"):
        (tmp_path / "cifar100" / name).write_bytes(bytes(3074))
    (tmp_path / "mnist").mkdir()
    for stem in ("train", "t10k"):
        head = bytes((0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28))
        (tmp_path / "mnist" / f"{stem}-images-idx3-ubyte").write_bytes(head + bytes(2 * 784))
        (tmp_path / "mnist" / f"{stem}-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 2, 3, 4)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("folders")
def test_every_command(typed: Callable[..., Any]) -> None:
    assert len(COMMANDS) > 12
    for command in COMMANDS:
        if command[:3] == ["vf", "data", "download"]:
            command = [*command, "--dry-run"]
        said = typed(*command[1:])
        assert said.code == 0, f"{command}\n{said.out}{said.err}"


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe(recipe: str, folders: Path) -> None:
    (folders / "r.yaml").write_text(recipe)
    data = resolve("r.yaml").recipe.data
    for split, count in data.info().num_samples.items():
        dataset: Any = data.build(split)  # type: ignore[arg-type]
        assert len(dataset) == count
        assert dataset[count - 1].target["labels"].shape == (1,)


def test_every_layout_and_transform_of_ours_is_described() -> None:
    for name in (*vf_cls.vf_datasets(), *vf_cls.vf_downloads(), *vf_cls.vf_writers()):
        assert f"`{name}`" in PAGE, name
    transforms = (DOCS / "transforms.md").read_text(encoding="utf-8")
    for name in vf_cls.vf_transforms():
        assert f"`{name}`" in transforms, name
