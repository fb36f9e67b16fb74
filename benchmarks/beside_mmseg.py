"""Segmentation beside MMSegmentation: input pipeline, training step, start; both sides in turn, in one run.

    python benchmarks/beside_mmseg.py PEERS [--rounds 3] [--only png,kept,decode,step,start]

PEERS is a folder with mmseg installed for the CPU: ``venv/bin/python``, and ``scripts/data_seg.py`` that measures it
and prints a line of JSON. Both sides read the same 24 images of 2048×1024 (PNG, with a PNG of labels), resize by 0.5 to
2, cut 512×1024 that no class fills (cat_max_ratio 0.75), mirror, distort colours, and make batches of 2; in one
process, without workers. Each side is a process of its own; the CPU time is of all its threads.

png: from the files. kept: vf reads decoded pixels (data set ``decoded``, all of them made before), mmseg the files, for
it has nothing like it. decode: reading the two PNG files of an image with OpenCV and nothing else, on each side.
step: one training step of PSPNet R50-D8 at 512×512, batch 2, 19 classes, with its auxiliary head: normalise, forward,
losses, backward, SGD; one thread, data that lies there, each side as its own loop takes it. start: ``vf config check``
of that recipe and ``vf run train --help`` beside ``tools/train.py --help``.
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
import tempfile
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

IMAGES, WARM = 60, 4
RECIPE = """
task: seg
model: {{name: unet, width: 8, head_width: 8}}
data: {data}
augment:
  - {{name: random_scale_crop, scale: [2048, 1024], ratio: [0.5, 2.0], size: [512, 1024], cat_max_ratio: 0.75}}
  - {{name: horizontal_flip}}
  - {{name: photometric_distortion}}
metrics:
  - {{name: miou}}
train:
  length: 100000 steps
  batch_size: 2
  optimizer: {{name: sgd, lr: 0.01}}
  eval_every: 0 steps
  save_every: 0 steps
loader:
  workers: 0
"""
FOLDERS = "{{name: folders, path: {path}, images: img, masks: ann, holdout: 0.04, mask_values: {values}}}"
DECODE = """
import cv2, glob, json, sys, time
files = [(a, a.replace("/img/", "/ann/")) for a in sorted(glob.glob(sys.argv[1] + "/img/*.png"))]
read = lambda: [(cv2.imread(a, cv2.IMREAD_COLOR), cv2.imread(b, cv2.IMREAD_UNCHANGED)) for a, b in files] and None
read()
began = time.process_time()
for _ in range(3): read()
print(json.dumps({"cpu_ms": (time.process_time() - began) / 3 / len(files) * 1e3}))
"""

THEIR_STEP = """
import json, statistics, sys, time, warnings
warnings.filterwarnings("ignore")
from pathlib import Path
import mmseg, torch
from mmengine.config import Config
from mmengine.model.utils import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from mmseg.utils import register_all_modules

torch.set_num_threads(1)
register_all_modules()
root = Path(mmseg.__file__).parent / ".mim/configs"
cfg = Config.fromfile(str(root / "pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py"))
cfg.model.pretrained = None
cfg.model.data_preprocessor.size = (512, 512)
model = revert_sync_batchnorm(MODELS.build(cfg.model)).train()
optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
torch.manual_seed(0)
samples = []
for _ in range(2):
    sample = SegDataSample(metainfo={"img_shape": (512, 512), "ori_shape": (512, 512)})
    blocks = torch.randint(0, 19, (1, 64, 64)).repeat_interleave(8, 1).repeat_interleave(8, 2)
    sample.gt_sem_seg = PixelData(data=blocks)
    samples.append(sample)
images = [torch.randint(0, 256, (3, 512, 512), dtype=torch.uint8) for _ in samples]
wall, used = [], []
for _ in range(int(sys.argv[1])):
    began, clock = time.perf_counter(), time.process_time()
    model.train_step({"inputs": images, "data_samples": samples}, optimizer)
    wall.append(time.perf_counter() - began)
    used.append(time.process_time() - clock)
print(json.dumps({"step_s": statistics.median(wall[2:]), "cpu_s": statistics.median(used[2:])}))
"""
STEPS = 7
"""Of which the first two do not count."""


def cpu() -> float:
    """Seconds of this process and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def own_pipeline(data: str, folder: Path, *, kept: bool) -> dict[str, float]:
    """Images per second, and CPU milliseconds of one, from files to batches."""
    from vf.console import Console
    from vf.engine.build import build_training
    from vf.recipes import resolve

    values = "{" + ", ".join(f"{k}: class{k}" for k in range(19)) + "}"
    text = FOLDERS.format(path=data, values=values)
    text = f"{{name: decoded, folder: {folder / 'kept'}, of: {text}}}" if kept else text
    recipe = folder / "recipe.yaml"
    recipe.write_text(RECIPE.format(data=text))
    training = build_training(resolve(str(recipe)), folder, Console(StringIO()), limit_eval=1)
    if kept:
        dataset = training.state.resolved.recipe.data.build("train")
        for index in range(len(dataset)):
            dataset[index]
    batches: Iterator[Any] = iter(training.batches(start=0, final_from=10**9))
    for _ in range(WARM):
        next(batches)
    began, used = time.perf_counter(), cpu()
    for _ in range(IMAGES // 2):
        batch = next(batches)
    assert batch.images.shape == (2, 3, 512, 1024)
    return {"img_s": IMAGES / (time.perf_counter() - began), "cpu_ms": (cpu() - used) / IMAGES * 1e3}


def own_step(data: str, folder: Path) -> dict[str, float]:
    """Seconds of a training step, by the clock and of the CPU."""
    import torch

    from vf.console import Console
    from vf.data.sample import Batch
    from vf.engine.build import build_training
    from vf.engine.guard import Guard
    from vf.engine.train import _take_step
    from vf.recipes import resolve

    torch.set_num_threads(1)
    values = "{" + ", ".join(f"{k}: class{k}" for k in range(19)) + "}"
    changes = (
        "data=" + FOLDERS.format(path=data, values=values),
        "model.backbone.pretrained=''",
        "train.batch_size=2",
        "loader.workers=0",
    )
    resolved = resolve("seg/pspnet_r50-d8_512x1024_40k_cityscapes", overrides=changes)
    state = build_training(resolved, folder, Console(StringIO()), limit_eval=1).state
    torch.manual_seed(0)
    maps = torch.randint(0, 19, (2, 64, 64), dtype=torch.uint8).repeat_interleave(8, 1).repeat_interleave(8, 2)
    sizes = torch.tensor([[512, 512]] * 2)
    batch = Batch(
        images=torch.randint(0, 256, (2, 3, 512, 512), dtype=torch.uint8),
        sizes=sizes,
        original=sizes,
        ids=("a", "b"),
        targets={"semantic": maps.flatten(0, 1)},
        counts={"semantic": (512, 512)},
    )
    state.model.train()
    guard, wall, used = Guard(state), [], []
    for _ in range(STEPS):
        began, clock = time.perf_counter(), time.process_time()
        _take_step(state, [batch], guard)
        wall.append(time.perf_counter() - began)
        used.append(time.process_time() - clock)
    return {"step_s": statistics.median(wall[2:]), "cpu_s": statistics.median(used[2:])}


def own(what: str, data: str) -> dict[str, float]:
    """Measure our side."""
    with tempfile.TemporaryDirectory() as name:
        if what == "step":
            return own_step(data, Path(name))
        return own_pipeline(data, Path(name), kept=what == "kept")


def theirs(peers: Path) -> dict[str, float]:
    """Measure mmseg with its own loader."""
    words = [str(peers / "scripts/data_seg.py"), "0", "--n", str(IMAGES), "--runs", "1"]
    said = said_by([str(peers / "venv/bin/python"), *words])
    return {"img_s": said["img_s"], "cpu_ms": said["cpu_ms_img_main"]}


def started(command: list[str]) -> dict[str, float]:
    """Seconds of a command, by the clock and of the CPU; the middle of five, after one that warms the disk."""
    wall, used = [], []
    for _ in range(6):
        began, clock = time.perf_counter(), cpu()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wall.append(time.perf_counter() - began)
        used.append(cpu() - clock)
    return {"start_s": statistics.median(wall[1:]), "cpu_s": statistics.median(used[1:])}


def starts(peers: Path) -> list[tuple[str, list[str], list[str]]]:
    """Return what is started, by us and by them."""
    python = str(peers / "venv/bin/python")
    [tool] = (peers / "venv/lib").glob("python*/site-packages/mmseg/.mim/tools/train.py")
    vf = str(Path(sys.executable).parent / "vf")
    theirs = [python, str(tool), "--help"]
    return [
        ("vf config check", [vf, "config", "check", "seg/pspnet_r50-d8_512x1024_40k_cityscapes"], theirs),
        ("vf run train --help", [vf, "run", "train", "--help"], theirs),
    ]


def said_by(command: list[str]) -> Any:
    """Run a process and read the last line that it prints."""
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="png,kept,decode,step,start")
    parser.add_argument("--own", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = str(options.peers / "bccd/seg")
    if options.own:
        print(json.dumps(own(options.own, data)))
        return
    import torch

    theirs(options.peers)  # makes the images where they are missing
    print(f"python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print("| what | vf | mmseg | vf / mmseg |\n|---|---|---|---|")
    python = str(options.peers / "venv/bin/python")
    wanted = options.only.split(",")
    for what in (name for name in wanted if name != "start"):
        rows: list[tuple[dict[str, float], dict[str, float]]] = []
        for _ in range(options.rounds):
            if what == "decode":
                rows.append((said_by([sys.executable, "-c", DECODE, data]), said_by([python, "-c", DECODE, data])))
            elif what == "step":
                command = [sys.executable, __file__, str(options.peers), "--own", what]
                rows.append((said_by(command), said_by([python, "-c", THEIR_STEP, str(STEPS)])))
            else:
                command = [sys.executable, __file__, str(options.peers), "--own", what]
                rows.append((said_by(command), theirs(options.peers)))
        show(what, rows)
    for what, ours, other in starts(options.peers) if "start" in wanted else ():
        show(what, [(started(ours), started(other))])


def show(what: str, rows: list[tuple[dict[str, float], dict[str, float]]]) -> None:
    """Print the middles of the rounds."""
    for key in rows[0][1]:
        ours, other = (statistics.median(row[side][key] for row in rows) for side in (0, 1))
        ratio = statistics.median(row[0][key] / row[1][key] for row in rows)
        print(f"| {what}: {key} | {ours:.4g} | {other:.4g} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
