"""Zip beside folder: the same training batches bit for bit, and how many images a second come from each.

    python benchmarks/zip_folder.py [--images 256] [--width 640] [--height 480] [--rounds 8] [--workers 0]

Writes JPEGs of textured noise with boxes as COCO, and the same again with the images in a zip (stored, as in COCO's
own). Both go through decoding, a flip and the letterbox of det/yolox_s_coco, in turn, each the first in every other
round; prints the median of the rounds' ratios. The disk's caches are warm.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision

from vf.data.loader import train_batches
from vf.data.pipeline import TrainView
from vf.data.sample import Batch
from vf.data.sampler import TrainSampler
from vf.engine.build import preprocess_of
from vf.recipes import Recipe, resolve

QUALITY = 90
BATCH = 16


def write(root: Path, count: int, width: int, height: int) -> Path:
    """Write the images and their json; return the folder."""
    folder = root / "folder"
    (folder / "annotations").mkdir(parents=True)
    (folder / "train2017").mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for number in range(1, count + 1):
        coarse = rng.integers(0, 256, (height // 16 + 1, width // 16 + 1, 3), np.uint8)
        fine = rng.integers(-20, 20, (height, width, 3))
        pixels = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) + fine, 0, 255)
        name = f"{number:012d}.jpg"
        cv2.imwrite(str(folder / "train2017" / name), pixels.astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        for _ in range(7):
            x, y = rng.uniform(0, width - 40), rng.uniform(0, height - 40)
            box = [round(float(v), 2) for v in (x, y, rng.uniform(10, width - x), rng.uniform(10, height - y))]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": 1 + number % 3, "bbox": box}
            )
    categories = [{"id": k, "name": f"class {k}"} for k in (1, 2, 3)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / "annotations" / "instances_train2017.json").write_text(text)
    return folder


def zip_up(folder: Path) -> Path:
    """Write the same data with its images in a zip; return that folder."""
    zipped = folder.with_name("zipped")
    (zipped / "annotations").mkdir(parents=True)
    name = "annotations/instances_train2017.json"
    (zipped / name).write_bytes((folder / name).read_bytes())
    with zipfile.ZipFile(zipped / "train2017.zip", "w", zipfile.ZIP_STORED) as file:
        for path in sorted((folder / "train2017").iterdir()):
            file.write(path, f"train2017/{path.name}")
    return zipped


def recipe_of(folder: Path) -> Recipe:
    """The recipe on a folder."""
    overrides = ("data.holdout=0", f"train.batch_size={BATCH}", 'augment=[{"name": "horizontal_flip"}]')
    return resolve("det/yolox_s_coco", data=str(folder), overrides=overrides).recipe


def batches(recipe: Recipe, count: int, workers: int) -> Iterator[Batch]:
    """One pass over the data, as training makes it."""
    info = recipe.data.info()
    dataset = recipe.data.build("train")
    preprocess = preprocess_of(recipe.model.build(info))
    view = TrainView(dataset, [t.build() for t in recipe.augment], preprocess, seed=0)
    sampler = TrainSampler(num_samples=len(dataset), batch_size=BATCH, steps=count // BATCH, seed=0)
    return iter(train_batches(view, sampler, fill=preprocess.pad_value, workers=workers, prefetch=2, pin=False))


def same(folder: Recipe, zipped: Recipe, count: int) -> int:
    """Compare all batches bit for bit; return their number."""
    number = 0
    for a, b in zip(batches(folder, count, 0), batches(zipped, count, 0), strict=True):
        assert a.ids == b.ids
        assert torch.equal(a.images, b.images)
        for key, value in a.targets.items():
            assert torch.equal(value, b.targets[key]) if isinstance(value, torch.Tensor) else value == b.targets[key]
        number += 1
    return number


def speed(recipe: Recipe, count: int, workers: int) -> float:
    """Images a second of one pass; what is made before the first batch is not counted."""
    source = batches(recipe, count, workers)
    first = len(next(source))
    began = time.perf_counter()
    done = sum(len(batch) for batch in source)
    assert first + done == count // BATCH * BATCH
    return done / (time.perf_counter() - began)


def main() -> None:
    """Write, compare, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in (("images", 256), ("width", 640), ("height", 480), ("rounds", 8), ("workers", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = write(Path(name), options.images, options.width, options.height)
        recipes = {"folder": recipe_of(folder), "zip": recipe_of(zip_up(folder))}
        number = same(recipes["folder"], recipes["zip"], options.images)
        print(f"{number} batches of {BATCH} images are the same from the folder and from the zip, bit for bit")
        speeds: dict[str, list[float]] = {"folder": [], "zip": []}
        for turn in range(options.rounds + 1):
            for kind in ("folder", "zip") if turn % 2 else ("zip", "folder"):
                found = speed(recipes[kind], options.images, options.workers)
                if turn:  # the first warms up
                    speeds[kind].append(found)
    ratios = [z / f for f, z in zip(speeds["folder"], speeds["zip"], strict=True)]
    cpu = platform.processor() or platform.machine()
    print(
        f"python {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"opencv {cv2.__version__}, {cpu}, {os.cpu_count()} cores, {options.workers} workers"
    )
    print(
        f"{options.images} JPEGs of {options.width}×{options.height}: folder {statistics.median(speeds['folder']):.1f} "
        f"images/s, zip {statistics.median(speeds['zip']):.1f} images/s"
    )
    print(f"zip/folder {statistics.median(ratios):.3f} (min {min(ratios):.3f}, max {max(ratios):.3f})")


if __name__ == "__main__":
    main()
