"""Classification's input pipeline beside MMPretrain: decode JPEG, random resized crop 224, flip, batch of 32.

    python benchmarks/beside_mmpretrain.py PEERS [--rounds 5] [--images 640] [--workers 0]

PEERS is a folder with mmpretrain installed for the CPU: ``venv/bin/python``, and ``scripts/data_cls.py``, which
measures mmpretrain and prints a line of JSON. Both read the same BCCD photographs (640×480 JPEG), in turn, each side in
a process of its own; the CPU time is of all its threads. ``as installed``: nothing is set, as that script is called;
``one thread``: OMP_NUM_THREADS=1 for both, as mmengine's runner sets it where a training has several workers. Before
that, both crop and resize the same images at the same places, and the pixels are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

THEIRS = """
import glob, json, sys, warnings, zlib
warnings.filterwarnings("ignore")
import cv2, numpy as np
from mmpretrain.datasets.transforms import RandomResizedCrop
crop, told = RandomResizedCrop(scale=224), []
for number, file in enumerate(sorted(glob.glob(sys.argv[1] + "/*/*.jpg"))[:20]):
    image = cv2.imread(file)
    np.random.seed(number)
    top, left, height, width = crop.rand_crop_params(image)
    np.random.seed(number)
    pixels = crop.transform({"img": image})["img"]
    rgb = np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))
    place = {"top": int(top), "left": int(left), "height": int(height), "width": int(width)}
    told.append({"file": file, "place": place, "crc": zlib.crc32(rgb.tobytes())})
print(json.dumps(told))
"""


def cpu() -> float:
    """Seconds of this process and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def own_pipeline(data: str, images: int, workers: int) -> dict[str, float]:
    """Images per second, and milliseconds of CPU for one."""
    from vf.data.loader import train_batches
    from vf.data.pipeline import TrainView
    from vf.data.sampler import TrainSampler
    from vf.nn.preprocess import Letterbox
    from vf.transform_configs import HorizontalFlip, ResizedCrop
    from vf_cls.data_configs import Folder

    dataset = Folder(path=data, holdout=0.0).build("train")
    transforms = [ResizedCrop(size=(224, 224), antialias=False).build(), HorizontalFlip().build()]
    view = TrainView(dataset, transforms, Letterbox(size=(224, 224)), seed=0)
    sampler = TrainSampler(num_samples=len(dataset), batch_size=32, steps=10_000, seed=0)
    batches = iter(train_batches(view, sampler, fill=0, workers=workers, prefetch=2, pin=False))
    for _ in range(2):
        next(batches)
    began, used = time.perf_counter(), cpu()
    for _ in range(images // 32):
        next(batches)
    return {"img_s": images / (time.perf_counter() - began), "cpu_ms": (cpu() - used) / images * 1e3}


def theirs(peers: Path, images: int, workers: int, env: dict[str, str]) -> dict[str, float]:
    """Measure mmpretrain with its own entry points."""
    words = [str(peers / "scripts/data_cls.py"), str(workers), "--n", str(images), "--runs", "1"]
    said = said_by([str(peers / "venv/bin/python"), *words], env)
    return {"img_s": said["img_s"], "cpu_ms": said["cpu_ms_img_main"]}


def said_by(command: list[str], env: dict[str, str]) -> Any:
    """Run a process and read the last line that it prints."""
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env)
    return json.loads(result.stdout.strip().splitlines()[-1])


def compare(peers: Path, data: str) -> str:
    """Say how many images are the same, pixel by pixel, cropped and resized at the same places."""
    from torch import Tensor

    from vf.data.decode import decode
    from vf.transform_configs import ResizedCrop

    crop: Any = ResizedCrop(size=(224, 224), antialias=False).build()
    told = said_by([str(peers / "venv/bin/python"), "-c", THEIRS, data], dict(os.environ))
    same = 0
    for one in told:
        image = crop.transform(decode(Path(one["file"])), one["place"])
        same += zlib.crc32(image.as_subclass(Tensor).contiguous().numpy().tobytes()) == one["crc"]
    return f"the same pixels at the same places: {same} of {len(told)} images"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--own", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = str(options.peers / "bccd/cls")
    if options.own:
        print(json.dumps(own_pipeline(data, options.images, options.workers)))
        return
    import cv2
    import torch

    versions = f"python {platform.python_version()}, torch {torch.__version__}, OpenCV {cv2.__version__}"
    print(f"{versions}, {os.cpu_count()} cores")
    bare = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    theirs(options.peers, 32, 0, bare)  # makes the folder of links that both read
    print(compare(options.peers, data))
    print("| what | vf | mmpretrain | vf / mmpretrain |\n|---|---|---|---|")
    words = ["--images", str(options.images), "--workers", str(options.workers), "--own"]
    for name, env in (("as installed", bare), ("one thread", bare | {"OMP_NUM_THREADS": "1"})):
        rows = [
            (
                said_by([sys.executable, __file__, str(options.peers), *words], env),
                theirs(options.peers, options.images, options.workers, env),
            )
            for _ in range(options.rounds)
        ]
        for key in rows[0][1]:
            ours, other = (statistics.median(row[side][key] for row in rows) for side in (0, 1))
            ratio = statistics.median(row[0][key] / row[1][key] for row in rows)
            print(f"| {name}: {key} | {ours:.4g} | {other:.4g} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
