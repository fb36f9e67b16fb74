"""Detection beside MMDetection: input pipeline, training step, inference; both sides in turn, in one run.

    python benchmarks/beside_mmdet.py PEERS [--rounds 3] [--only standard,mosaic,train,infer]

PEERS is a folder with mmdet installed for the CPU: ``venv/bin/python``, and ``scripts/`` and ``configs/`` that measure
mmdet and print a line of JSON each. Both read the same BCCD photographs (640×480 JPEG) at the same sizes. Each side is
a process of its own, so that neither warms the other up; the CPU time is of all its threads and workers.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

MOSAIC = """
  - {name: mosaic, size: [640, 640], scale: [1.0, 1.0]}
  - {name: random_affine, degrees: 10.0, shear: 2.0, translate: 0.1, scale: [0.5, 1.5]}
  - {name: hsv_jitter}
  - {name: horizontal_flip}
"""


def cpu() -> float:
    """Seconds of this process and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak() -> float:
    """Largest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def built(folder: Path, data: str, name: str, *changes: str) -> Any:
    """Build a training on the photographs."""
    from vf.console import Console
    from vf.engine.build import build_training
    from vf.recipes import resolve

    general = (
        "train.batch_size=2",
        "loader.workers=0",
        "train.eval_every=0 steps",
        "train.save_every=0 steps",
        "train.channels_last=true",
        *(() if name == "det/custom" else ("model.backbone.pretrained=''",)),
    )
    resolved = resolve(name, data=data, overrides=(*general, *changes))
    return build_training(resolved, folder, Console(StringIO()), limit_eval=1)


def own_pipeline(data: str, folder: Path, mosaic: bool) -> dict[str, float]:
    """Images per second of CPU, decoded, augmented, resized and put into batches."""
    if mosaic:
        rows = MOSAIC.strip().replace("\n", ",").replace("  - ", "").replace("- ", "")
        training = built(folder, data, "det/custom", "model.size=[640, 640]", f"augment=[{rows}]")
    else:
        training = built(folder, data, "det/faster_rcnn_r50_fpn_1x_coco", "train.length=100000 steps")
    batches: Iterator[Any] = iter(training.batches(start=0, final_from=10**9))
    for _ in range(6):
        next(batches)
    began, used = time.perf_counter(), cpu()
    for _ in range(120):
        next(batches)
    return {"img_s": 240 / (time.perf_counter() - began), "cpu_ms": (cpu() - used) / 240 * 1e3, "rss": peak()}


RESIZE = "model.resize={short: 512, long: 853, divisor: 32}"


def own_train(data: str, folder: Path) -> dict[str, float]:
    """Seconds of a training step of Faster R-CNN R50-FPN, data included, batch 2."""
    import attrs

    from vf.engine.callbacks import Callback
    from vf.engine.state import State
    from vf.engine.train import train

    class Watch(Callback):
        rows: list[tuple[float, float]] = []  # noqa: RUF012 - one use

        def step_done(self, state: State) -> None:
            self.rows.append((time.perf_counter(), cpu()))

    lasting = ("train.length=9 steps", "train.optimizer.lr=1e-6", "train.schedule={name: constant}")
    training = built(folder, data, "det/faster_rcnn_r50_fpn_1x_coco", RESIZE, *lasting)
    watch = Watch()
    train(attrs.evolve(training, callbacks=(watch, *training.callbacks), limit_eval=1))
    pairs = list(itertools.pairwise(watch.rows))[2:-1]
    middle: Callable[[int], float] = lambda k: statistics.median(b[k] - a[k] for a, b in pairs)  # noqa: E731
    return {"step_s": middle(0), "cpu_s": middle(1), "rss": peak()}


def own_infer(data: str, folder: Path) -> dict[str, float]:
    """Latency of one image, and images/s of a batch of 8, files in, boxes out."""
    from vf.engine.precision import make_precision, pick_device
    from vf.predict import Predictor

    training = built(folder, data, "det/faster_rcnn_r50_fpn_1x_coco", RESIZE)
    state = training.state
    predictor = Predictor(state.model, state.resolved, state.info, make_precision("fp32", pick_device("cpu")))
    files = sorted((Path(data) / "JPEGImages").glob("*.jpg"))[:8]
    times = []
    for _ in range(8):
        began = time.perf_counter()
        predictor(files[0])
        times.append(time.perf_counter() - began)
    rates = []
    for _ in range(3):
        began = time.perf_counter()
        list(predictor.predict(files, batch_size=8))
        rates.append(8 / (time.perf_counter() - began))
    return {"latency_s": statistics.median(times[2:]), "batch8_img_s": statistics.median(rates), "rss": peak()}


def own(what: str, data: str) -> dict[str, float]:
    """Measure our side."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if what in ("standard", "mosaic"):
            return own_pipeline(data, folder, what == "mosaic")
        return own_train(data, folder) if what == "train" else own_infer(data, folder)


def theirs(what: str, peers: Path) -> dict[str, float]:
    """Measure mmdet with its own entry points."""
    words = {
        "standard": ["data_mmdet.py", "0"],
        "mosaic": ["data_mmdet.py", "0", "--mosaic"],
        "train": ["train_steps.py", str(peers / "configs/frcnn.py"), "--warm", "3", "--iters", "5"],
        "infer": ["infer.py", "--n", "6"],
    }[what]
    said = said_by([str(peers / "venv/bin/python"), str(peers / "scripts" / words[0]), *words[1:]])
    if what == "train":
        return {
            "step_s": said["iter_s"],
            "cpu_s": said["data_cpu_s"] + said["model_cpu_s"],
            "rss": said["peak_rss_mb"],
        }
    if what == "infer":
        return {
            "latency_s": said["lat_ms"] / 1e3,
            "batch8_img_s": max(said["list8_img_s"], said["batch8_img_s"]),
            "rss": said["peak_rss_mb"],
        }
    return {"img_s": said["img_s"], "cpu_ms": said["cpu_ms_img_main"]}


def said_by(command: list[str]) -> Any:
    """Run a process and read the last line that it prints."""
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="standard,mosaic,train,infer")
    parser.add_argument("--own", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    data = str(options.peers / "bccd/BCCD")
    if options.own:
        print(json.dumps(own(options.own, data)))
        return
    import torch

    print(f"python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print("| what | vf | mmdet | vf / mmdet |\n|---|---|---|---|")
    for what in options.only.split(","):
        rows: list[tuple[dict[str, float], dict[str, float]]] = []
        for _ in range(options.rounds):
            command = [sys.executable, __file__, str(options.peers), "--own", what]
            rows.append((said_by(command), theirs(what, options.peers)))
        for key in rows[0][1]:
            ours, other = (statistics.median(row[side][key] for row in rows) for side in (0, 1))
            ratio = statistics.median(row[0][key] / row[1][key] for row in rows)
            print(f"| {what}: {key} | {ours:.4g} | {other:.4g} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
