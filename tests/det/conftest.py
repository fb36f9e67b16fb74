"""Small data sets written on the spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


def picture(path: Path, size: tuple[int, int] = (40, 30)) -> None:
    """Write a grey JPEG of width × height."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 90, 90)).save(path)


@pytest.fixture
def coco(tmp_path: Path) -> Callable[..., Path]:
    """Write train.json with three images and two boxes, and let a function change it before."""

    def write(change: Callable[[dict[str, Any]], None] = lambda data: None, *, split: str = "train") -> Path:
        data: dict[str, Any] = {
            "images": [{"id": i, "file_name": f"{split}{i}.jpg", "width": 40, "height": 30} for i in (1, 2, 3)],
            "annotations": [
                {"id": 7, "image_id": 1, "category_id": 5, "bbox": [1, 2, 10, 20]},
                {"id": 8, "image_id": 2, "category_id": 9, "bbox": [0, 0, 40, 30], "iscrowd": 1, "area": 77},
            ],
            "categories": [{"id": 9, "name": "dog"}, {"id": 5, "name": "cat"}],
        }
        change(data)
        for i in (1, 2, 3):
            picture(tmp_path / "images" / f"{split}{i}.jpg")
        (tmp_path / f"{split}.json").write_text(json.dumps(data))
        return tmp_path

    return write


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Write two VOC images; ``edit`` changes the text of the first XML."""

    def write(edit: Callable[[str], str] = lambda text: text, *, lists: dict[str, str] | None = None) -> Path:
        objects = [("dog", 1, 2, 10, 20, 0), ("cat", 5, 5, 40, 30, 1)]
        for stem in ("a", "b"):
            body = "".join(
                f"<object>\n<name>{n}</name>\n<difficult>{d}</difficult>\n<bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
                f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox>\n</object>\n"
                for n, x1, y1, x2, y2, d in objects
            )
            text = (
                f"<annotation>\n<filename>{stem}.jpg</filename>\n"
                f"<size><width>40</width><height>30</height></size>\n{body}</annotation>\n"
            )
            (tmp_path / "Annotations").mkdir(exist_ok=True)
            (tmp_path / "Annotations" / f"{stem}.xml").write_text(edit(text) if stem == "a" else text)
            picture(tmp_path / "JPEGImages" / f"{stem}.jpg")
        for split, names in (lists or {"train": "a\n", "val": "b\n"}).items():
            (tmp_path / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
            (tmp_path / "ImageSets" / "Main" / f"{split}.txt").write_text(names)
        return tmp_path

    return write


@pytest.fixture
def yolo(tmp_path: Path) -> Callable[..., Path]:
    """Write images/train and images/val with labels beside, and data.yaml."""

    def write(first: str = "0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.5 1\n", *, names: str = "names: [cat, dog]\n") -> Path:
        for split in ("train", "val"):
            picture(tmp_path / "images" / split / f"{split}1.jpg")
            label = tmp_path / "labels" / split / f"{split}1.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(first if split == "train" else "0 0.5 0.5 0.5 0.5\n")
        (tmp_path / "data.yaml").write_text(names)
        return tmp_path

    return write
