"""How long ``vf data check`` takes for metadata of COCO 2017's size, and how much memory.

    python benchmarks/data_check.py [--scale 1.0] [--folder DIR]

Writes json files with as many images, boxes and bytes as instances_train2017 and instances_val2017 have, and an
image file for each name (links to a few JPEGs: the check asks whether they exist, and decodes none).
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from PIL import Image

SPLITS = {"train": (118287, 860001), "val": (5000, 36781)}
"""Images and boxes of COCO 2017."""
NUM_CLASSES = 80
LINKS = 20000
"""Names for one file; file systems allow 65,000 or less."""
SIDES = (640, 480)


def polygon(draw: random.Random) -> str:
    """Return a segmentation of COCO's usual length."""
    return ",".join(f"{draw.uniform(0, 480):.2f}" for _ in range(2 * draw.randint(8, 42)))


def image_entries(split: str, count: int) -> Iterator[str]:
    """Yield the entries of the images as COCO writes them, licence and addresses included."""
    width, height = SIDES
    for i in range(count):
        name = f"{split}{i:012d}.jpg"
        yield (
            f'{{"license": 3,"file_name": "{name}","coco_url": "http://images.example.org/{split}2017/{name}",'
            f'"height": {height},"width": {width},"date_captured": "2013-11-14 17:02:52","flickr_url": '
            f'"http://farm9.example.org/8186/8119368305_{i:09d}_z.jpg","id": {i}}}'
        )


def box_entries(num_images: int, count: int, draw: random.Random) -> Iterator[str]:
    """Yield the entries of the boxes."""
    shapes = [polygon(draw) for _ in range(500)]
    for i in range(count):
        width, height = draw.uniform(2, 300), draw.uniform(2, 240)
        x, y = draw.uniform(0, SIDES[0] - width), draw.uniform(0, SIDES[1] - height)
        yield (
            f'{{"segmentation": [[{draw.choice(shapes)}]],"area": {width * height / 2:.4f},"iscrowd": 0,"image_id": '
            f'{draw.randrange(num_images)},"bbox": [{x:.2f},{y:.2f},{width:.2f},{height:.2f}],"category_id": '
            f'{draw.randrange(NUM_CLASSES)},"id": {i}}}'
        )


def write(root: Path, scale: float) -> None:
    """Write the json files and the images."""
    (root / "annotations").mkdir()
    categories = ", ".join(f'{{"supercategory": "thing","id": {k},"name": "class {k}"}}' for k in range(NUM_CLASSES))
    for split, (num_images, num_boxes) in SPLITS.items():
        num_images, num_boxes = max(1, int(num_images * scale)), max(1, int(num_boxes * scale))
        with (root / "annotations" / f"instances_{split}2017.json").open("w") as file:
            file.write('{"info": {}, "licenses": [], "images": [')
            write_list(file, image_entries(split, num_images))
            file.write('], "annotations": [')
            write_list(file, box_entries(num_images, num_boxes, random.Random(split)))
            file.write(f'], "categories": [{categories}]}}')
        link_images(root / f"{split}2017", split, num_images)


def write_list(file: TextIO, entries: Iterator[str]) -> None:
    """Write entries with commas between them."""
    file.write(next(entries))
    for entry in entries:
        file.write(f", {entry}")


def link_images(folder: Path, split: str, count: int) -> None:
    """Give every name a file, many of them one."""
    folder.mkdir()
    for i in range(count):
        path = folder / f"{split}{i:012d}.jpg"
        if i % LINKS == 0:
            Image.new("RGB", SIDES, (i % 251, 90, 90)).save(path)
            first = path
        else:
            os.link(first, path)


def measure(root: Path) -> tuple[float, float]:
    """Run ``vf data check``; return seconds and peak GB of the process."""
    began = time.perf_counter()
    with subprocess.Popen([sys.executable, "-m", "vf_cli", "data", "check", "--data", str(root)]) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"vf data check ended with exit code {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    """Write, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--scale", type=float, default=1.0, help="part of COCO's numbers")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        write(root, options.scale)
        size = (root / "annotations" / "instances_train2017.json").stat().st_size
        seconds, peak = measure(root)
        count = int(SPLITS["train"][0] * options.scale), int(SPLITS["train"][1] * options.scale)
    print(f"python {platform.python_version()}, {os.cpu_count()} cores")
    print(f"train: {count[0]} images, {count[1]} boxes, json of {size / 1e6:.0f} MB")
    print(f"vf data check: {seconds:.1f} s, peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
