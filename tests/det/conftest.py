"""Small data sets and batches written on the spot, and ``vf convert`` in an empty folder."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vf.data.sample import Batch


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


class Layouts:
    """Writes data sets as they are delivered, each with two images of 40×30 for a split, ``a`` and ``b``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def coco(self, name: str = "coco", change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
        """COCO 2017: polygons of two rings on a, run lengths and a crowd on b, keypoints of one object on a."""
        root = self.folder / name
        for split in ("train", "val"):
            data = {**self._images(root, split), **self.coco_objects()}
            change(data)
            write_json(root / "annotations" / f"instances_{split}2017.json", data)
        return root

    def _images(self, root: Path, split: str) -> dict[str, Any]:
        images = []
        for id_, stem in enumerate("ab", 1):
            picture(root / f"{split}2017" / f"{split}_{stem}.jpg")
            images.append({"id": id_, "file_name": f"{split}_{stem}.jpg", "width": 40, "height": 30})
        return {"images": images}

    def coco_objects(self) -> dict[str, Any]:
        """Annotations and categories of images 1 and 2."""
        rings = [[2, 2, 12, 2, 12, 8, 2, 8], [2, 10, 6, 10, 6, 14, 2, 14]]
        points = [3, 3, 2, 9, 4, 1, 0, 0, 0]
        squares = {"counts": [0, 10, 20, 10, 1160], "size": [30, 40]}
        return {
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 2, 10, 12], "area": 76, "segmentation": rings}
                | {"keypoints": points, "num_keypoints": 2, "iscrowd": 0},
                {"id": 2, "image_id": 2, "category_id": 3, "bbox": [0, 0, 2, 10], "area": 20, "segmentation": squares}
                | {"iscrowd": 0},
                {"id": 3, "image_id": 2, "category_id": 3, "bbox": [20, 0, 20, 30], "area": 600, "iscrowd": 1}
                | {"segmentation": {"counts": "hb0hb0", "size": [30, 40]}},
            ],
            "categories": [
                {"id": 3, "name": "car"},
                {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]},
            ],
        }

    def lvis(self, name: str = "lvis", change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
        """LVIS v1: its val holds an image of COCO's train."""
        root = self.folder / name
        for stem, split in (("a", "train"), ("b", "val")):
            picture(root / f"{split}2017" / f"{stem}.jpg")
        square = [[2, 2, 12, 2, 12, 8, 2, 8]]
        for split, places in (("train", ["train2017/a.jpg"]), ("val", ["val2017/b.jpg", "train2017/a.jpg"])):
            images = [
                {"id": i, "coco_url": f"http://images.cocodataset.org/{place}", "width": 40, "height": 30}
                | {"neg_category_ids": [2], "not_exhaustive_category_ids": [3, 1]}
                for i, place in enumerate(places, 1)
            ]
            box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 2, 10, 6], "area": 60, "segmentation": square}
            names = [("apple", "f"), ("bun", "c"), ("cog", "r")]
            categories = [{"id": i, "name": n, "frequency": f} for i, (n, f) in enumerate(names, 1)]
            data = {"images": images, "annotations": [box], "categories": categories}
            change(data)
            write_json(root / f"lvis_v1_{split}.json", data)
        return root

    def voc(self, name: str = "VOCdevkit") -> Path:
        """VOC2007 with trainval (000001) and test (000002), VOC2012 with trainval (2012_000001)."""
        root = self.folder / name
        for year, stem, split in (
            ("VOC2007", "000001", "trainval"),
            ("VOC2007", "000002", "test"),
            ("VOC2012", "2012_000001", "trainval"),
        ):
            things = "".join(
                f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox><xmin>1</xmin><ymin>2</ymin>"
                f"<xmax>{x}</xmax><ymax>20</ymax></bndbox></object>"
                for label, difficult, x in (("dog", 0, 10), ("cat", 1, 30))
            )
            size = "<size><width>40</width><height>30</height></size>"
            text = f"<annotation><filename>{stem}.jpg</filename>{size}{things}</annotation>"
            write(root / year / "Annotations" / f"{stem}.xml", text)
            write(root / year / "ImageSets" / "Main" / f"{split}.txt", f"{stem}\n")
            picture(root / year / "JPEGImages" / f"{stem}.jpg")
        return root

    def cityscapes(self, name: str = "cityscapes") -> Path:
        """A scene of each split: road, a car 26001 of 10×4 px, a person 24000 of 2×6, a group of bicycles 33."""
        root = self.folder / name
        pixels = np.full((30, 40), 7, np.uint16)
        pixels[20:24, 5:15] = 26001
        pixels[10:16, 30:32] = 24000
        pixels[0:3, 0:9] = 33
        pixels[29] = 3  # out of the region that is evaluated
        labels = np.where(pixels >= 1000, pixels // 1000, pixels).astype(np.uint8)
        for split, stem in (("train", "ulm/ulm_000000_000019"), ("val", "bonn/bonn_000001_000019")):
            picture(root / "leftImg8bit" / split / f"{stem}_leftImg8bit.png")
            for kind, values in (("instanceIds", pixels), ("labelIds", labels)):
                file = root / "gtFine" / split / f"{stem}_gtFine_{kind}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(file)
        picture(root / "leftImg8bit" / "test" / "rome" / "rome_000000_000019_leftImg8bit.png")
        return root

    def panoptic(self, name: str = "panoptic", change: Callable[[dict[str, Any]], None] = lambda data: None) -> Path:
        """COCO panoptic: on a sky above, a person 70000 and a crowd of cars 5; on b void alone."""
        root = self.folder / name
        for split in ("train", "val"):
            ids = np.full((30, 40), 300, np.int64)
            ids[10:20, 5:15], ids[10:30, 20:40], ids[20:] = 70000, 5, 0
            for stem, values in (("a", ids), ("b", ids * 0)):
                colours = np.stack([values % 256, values // 256 % 256, values // 65536], -1).astype(np.uint8)
                file = root / "annotations" / f"panoptic_{split}2017" / f"{split}_{stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(colours).save(file)
            segments = [
                {"id": 300, "category_id": 2, "bbox": [0, 0, 40, 20], "area": 500, "iscrowd": 0},
                {"id": 70000, "category_id": 9, "bbox": [5, 10, 10, 10], "area": 100, "iscrowd": 0},
                {"id": 5, "category_id": 4, "bbox": [20, 10, 20, 10], "area": 200, "iscrowd": 1},
            ]
            data = {
                **self._images(root, split),
                "annotations": [
                    {"image_id": 1, "file_name": f"{split}_a.png", "segments_info": segments},
                    {"image_id": 2, "file_name": f"{split}_b.png", "segments_info": []},
                ],
                "categories": [
                    {"id": 2, "name": "sky", "isthing": 0, "color": [1, 2, 3]},
                    {"id": 4, "name": "car", "isthing": 1, "color": [4, 5, 6]},
                    {"id": 9, "name": "person", "isthing": 1, "color": [7, 8, 9]},
                ],
            }
            change(data)
            write_json(root / "annotations" / f"panoptic_{split}2017.json", data)
        return root

    def stuff(self, name: str = "coco_stuff") -> Path:
        """COCO with maps: person on the left, branch (id 94) on the right, the last row unlabelled."""
        root = self.coco(name)
        values = np.full((30, 40), 93, np.uint8)
        values[:, :20], values[29] = 0, 255
        for split in ("train", "val"):
            for stem in "ab":
                file = root / "stuffthingmaps" / f"{split}2017" / f"{split}_{stem}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(values).save(file)
        return root

    def csv(self, name: str = "csv", rows: str = "image,x1,y1,x2,y2,class\n") -> Path:
        """Rows of two boxes on a, none on b."""
        root = self.folder / name
        rows += "images/a.jpg,1,2,10,20,dog\nimages/a.jpg,0.5,0,40,30,cat\nimages/b.jpg,,,,,\n"
        for split in ("train", "val"):
            write(root / f"{split}.csv", rows)
        for stem in "ab":
            picture(root / "images" / f"{stem}.jpg")
        return root

    def images(self, name: str = "images") -> Path:
        """Two images, nothing else."""
        for stem in ("a.jpg", "b.png"):
            picture(self.folder / name / stem)
        return self.folder / name

    def yolo(self, name: str = "yolo") -> Path:
        """Folders images and labels, and data.yaml."""
        root = self.folder / name
        write(root / "data.yaml", "names: [cat, dog]\n")
        for split in ("train", "val"):
            for stem in "ab":
                picture(root / "images" / split / f"{split}_{stem}.jpg")
                write(root / "labels" / split / f"{split}_{stem}.txt", "0 0.5 0.5 0.5 0.5\n1 0.25 0.5 0.5 1\n")
        return root

    def balloons(self) -> bytes:
        """The archive of the balloons: an image a split with outlines, by number in train and in turn in val."""
        shape = {"name": "polygon", "all_points_x": [2, 12, 12, 2], "all_points_y": [2, 2, 8, 8]}
        region = {"shape_attributes": shape, "region_attributes": {}}
        image, data = io.BytesIO(), io.BytesIO()
        Image.new("RGB", (40, 30), (9, 9, 9)).save(image, "JPEG")
        with zipfile.ZipFile(data, "w") as file:
            for split, regions in (("train", {"0": region, "1": region}), ("val", [region])):
                said = {
                    "a.jpg123": {"filename": "a.jpg", "size": 123, "regions": regions},
                    "b.jpg456": {"filename": "b.jpg", "size": 456, "regions": type(regions)()},
                }
                file.writestr(f"balloon/{split}/via_region_data.json", json.dumps(said))
                file.writestr(f"balloon/{split}/a.jpg", image.getvalue())
                file.writestr(f"__MACOSX/balloon/{split}/._a.jpg", b"")
        return data.getvalue()

    def zipped(self, root: Path, *, inner: str = "") -> Path:
        """Zip a data set into NAME.zip beside it, all of it in the folder ``inner``, and take the folder away."""
        path = root.with_name(f"{root.name}.zip")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for one in sorted(root.rglob("*")):
                if one.is_file():
                    file.write(one, Path(inner) / one.relative_to(root))
        shutil.rmtree(root)
        return path


def write(path: Path, text: str) -> None:
    """Write a text, and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a json, and the folders that it lies in."""
    write(path, json.dumps(data))


@pytest.fixture
def layouts(tmp_path: Path) -> Layouts:
    """Writes data sets of every layout."""
    return Layouts(tmp_path)


class Detection:
    """Batches for detectors, and how torchvision's are asked and compared."""

    @staticmethod
    def batch(*boxes: Any, size: tuple[int, int], **targets: torch.Tensor) -> Batch:
        """Noise of one size with the given boxes on each image; labels go through three classes."""
        rows = [row for image in boxes for row in image]
        generator = torch.Generator().manual_seed(7)
        known: dict[str, Any] = {
            "boxes": torch.tensor(rows, dtype=torch.float32).reshape(-1, 4),
            "labels": torch.arange(len(rows)) % 3,
            **targets,
        }
        return Batch(
            images=torch.randint(0, 256, (len(boxes), 3, *size), dtype=torch.uint8, generator=generator),
            sizes=torch.tensor([size] * len(boxes)),
            original=torch.tensor([size] * len(boxes)),
            ids=tuple(str(i) for i in range(len(boxes))),
            targets=known,
            counts=dict.fromkeys(known, tuple(len(image) for image in boxes)),
        )

    @staticmethod
    def total(losses: Any) -> torch.Tensor:
        """What the engine minimises."""
        return torch.stack([value for name, value in losses.items() if not name.startswith("_")]).sum()

    @staticmethod
    def without_gradient(model: torch.nn.Module) -> list[str]:
        """Names of parameters that train and got no finite gradient."""
        named = [(n, p.grad) for n, p in model.named_parameters() if p.requires_grad]
        return [name for name, grad in named if grad is None or not bool(grad.isfinite().all())]

    @staticmethod
    def loosen(*modules: torch.nn.Module, std: float = 0.5) -> None:
        """Give weights that tell cells apart: new heads say the same everywhere."""
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in (p for module in modules for p in module.parameters()):
                spread = std / max(1, parameter[0].numel()) ** 0.5
                parameter += torch.randn(parameter.shape, generator=generator) * spread

    @staticmethod
    def of_torchvision(model: torch.nn.Module, batch: Batch, *, first_label: int = 0) -> Any:
        """Ask a model of torchvision: in training for the losses of the whole batch, else for predictions."""
        images = [image / 255 for image in batch.images]
        if not model.training:
            return model(images)
        keys = [{"boxes": t["boxes"], "labels": t["labels"] + first_label} for t in batch.per_image()]
        return model(images, keys)

    @staticmethod
    def assert_same(ours: Any, others: Any, *, first_label: int = 0, fewest: int = 20) -> None:
        """Scores to 1e-4, boxes to 1e-3 px, in the same order."""
        for own, other in zip(ours, others, strict=True):
            assert len(own["scores"]) == len(other["scores"]) >= fewest
            torch.testing.assert_close(own["scores"], other["scores"], atol=1e-4, rtol=0)
            torch.testing.assert_close(own["labels"], other["labels"] - first_label)
            torch.testing.assert_close(own["boxes"], other["boxes"], atol=1e-3, rtol=0)


@pytest.fixture(scope="session")
def detection() -> Detection:
    """What tests of detectors share."""
    return Detection()


@pytest.fixture
def vf(typed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that runs ``vf convert ARGUMENTS`` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: typed("convert", *arguments)
