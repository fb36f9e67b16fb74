"""Small data sets of maps, written on the spot."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

SIZE = (30, 40)
"""Height and width."""


def blocks(values: Sequence[Any], dtype: Any = np.uint8) -> np.ndarray[Any, Any]:
    """Return a map [30,40] with columns of the values, of the same width but the last."""
    wide = SIZE[1] // len(values)
    row = [values[min(x // wide, len(values) - 1)] for x in range(SIZE[1])]
    return np.array([row] * SIZE[0], dtype)


class Layouts:
    """Writes data sets into a folder; each method returns the root of one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def image(self, name: str, size: tuple[int, int] = SIZE) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        level = sum(name.encode()) % 200
        Image.new("RGB", size[::-1], (level, 90, 255 - level)).save(path)
        return path

    def map(self, name: str, values: Sequence[Any] | np.ndarray[Any, Any], *, palette: bool = False) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = values if isinstance(values, np.ndarray) else blocks(values)
        if palette:
            picture = Image.fromarray(pixels)
            picture.putpalette([level for k in range(256) for level in (255 - k, k, 7)])
            picture.save(path)
        else:
            cv2.imwrite(str(path), pixels if pixels.ndim == 2 else pixels[..., ::-1])
        return path

    def folders(self, name: str = "folders") -> Path:
        for split in ("train", "val"):
            for stem in ("a", "b"):
                self.image(f"{name}/images/{split}/{stem}.jpg")
                self.map(f"{name}/masks/{split}/{stem}.png", [0, 128] if stem == "a" else [0, 128, 255])
        (self.folder / name / "classes.txt").write_text("".join(f"class {k}\n" for k in range(129)))
        return self.folder / name

    def camvid(self, name: str = "camvid") -> Path:
        for split in ("train", "val"):
            for stem in ("0001TP_1", "0001TP_2"):
                self.image(f"{name}/{split}/{stem}.png")
                self.map(f"{name}/{split}annot/{stem}.png", [0, 3, 8, 11])
        return self.folder / name

    def cityscapes(self, name: str = "cityscapes", *, kind: str = "labelIds", test: bool = True) -> Path:
        values = [7, 11, 26, 0, 34 - 1] if kind == "labelIds" else [0, 2, 13, 255, 18]
        for split in ("train", "val"):
            stem = "ulm/ulm_000000_000019"
            self.image(f"{name}/leftImg8bit/{split}/{stem}_leftImg8bit.png")
            self.map(f"{name}/gtFine/{split}/{stem}_gtFine_{kind}.png", values)
        if test:
            self.image(f"{name}/leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png")
            self.map(f"{name}/gtFine/test/bonn/bonn_000000_000019_gtFine_{kind}.png", [0, 3])
        return self.folder / name

    def ade20k(self, name: str = "ade20k") -> Path:
        for folder, stem in (("training", "ADE_train_00000001"), ("validation", "ADE_val_00000001")):
            self.image(f"{name}/images/{folder}/{stem}.jpg")
            self.map(f"{name}/annotations/{folder}/{stem}.png", [0, 1, 150])
        self.image(f"{name}/images/testing/ADE_test_00000001.jpg")
        return self.folder / name

    def voc12(self, name: str = "voc12") -> Path:
        for stem in ("2007_000032", "2007_000033"):
            self.image(f"{name}/JPEGImages/{stem}.jpg")
            self.map(f"{name}/SegmentationClass/{stem}.png", [0, 1, 255, 20], palette=True)
        self.image(f"{name}/JPEGImages/2008_000001.jpg")
        lists = self.folder / name / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / "train.txt").write_text("2007_000032\n")
        (lists / "val.txt").write_text("2007_000033\n")
        (lists / "test.txt").write_text("2008_000001\n")
        return self.folder / name

    def voc12aug(self, name: str = "voc12aug") -> Path:
        root = self.voc12(name)
        for stem in ("2007_000032", "2007_000033", "2008_000001"):
            self.map(f"{name}/SegmentationClassAug/{stem}.png", [0, 2])
        (root / "ImageSets" / "Segmentation" / "trainaug.txt").write_text("2007_000032\n2008_000001\n")
        return root

    def coco_stuff(self, name: str = "coco_stuff", *, trained: bool = False) -> Path:
        for split in ("train", "val"):
            stem = f"{split}2017/000000000009"
            self.image(f"{name}/{stem}.jpg")
            end = "_labelTrainIds.png" if trained else ".png"
            self.map(f"{name}/stuffthingmaps/{stem}{end}", [0, 79, 170, 255] if trained else [0, 89, 181, 255])
        return self.folder / name

    def loveda(self, name: str = "loveda") -> Path:
        for split, scene, stem in (("Train", "Urban", "1"), ("Train", "Rural", "2"), ("Val", "Urban", "3")):
            self.image(f"{name}/{split}/{scene}/images_png/{stem}.png")
            self.map(f"{name}/{split}/{scene}/masks_png/{stem}.png", [0, 1, 7])
        self.image(f"{name}/Test/Urban/images_png/4.png")
        return self.folder / name

    def potsdam(self, name: str = "potsdam") -> Path:
        colours = [(255, 255, 255), (0, 0, 255), (255, 0, 0), (0, 0, 0)]
        for split in ("train", "val"):
            self.image(f"{name}/img_dir/{split}/2_10_0_0.png")
            pixels = np.array(colours, np.uint8)[blocks([0, 1, 2, 3])]
            self.map(f"{name}/ann_dir/{split}/2_10_0_0.png", pixels)
        return self.folder / name

    def zipped(self, folder: Path, *, inner: str = "") -> Path:
        """Zip a folder in the place of it."""
        target = folder.with_name(f"{folder.name}.zip")
        with zipfile.ZipFile(target, "w") as file:
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                file.write(path, Path(inner) / path.relative_to(folder))
        return target


@pytest.fixture
def layouts(tmp_path: Path) -> Layouts:
    """Writes data sets into a folder of its own."""
    return Layouts(tmp_path)
