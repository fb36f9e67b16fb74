"""COCO's box evaluation: ours beside pycocotools and faster-coco-eval.

    python benchmarks/coco_eval.py [--images 5000] [--rounds 1]

Images, objects (7 an image on average, 1 % crowds, classes as unequal as COCO's) and 100 detections an image, made
from a seed. Each evaluator runs in processes of its own, in turn. Ours is timed from the model's tensors, batch by
batch, to the numbers; the others from lists of annotations that are already in COCO's form, which favours them. CPU
seconds, as all use one thread for nearly all of it: what else the machine does changes them little. Peak RSS is that of
the process, beside what it held before it evaluated; all hold the same predictions.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vf_det.coco_ap import NUMBERS, CocoAP
from vf_det.metrics.coco_peers import modules
from vf_det.metrics.overlaps import xywh

CLASSES, DETECTIONS, OBJECTS = 80, 100, 7.3
NAMES = ("vf", "pycocotools", "faster_coco_eval")


def boxes_at(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    """Return boxes [count,4] XYXY on an image of 640 px, small ones more often."""
    side = np.exp(rng.uniform(np.log(8), np.log(400), (count, 2)))
    corner = rng.uniform(0, 640, (count, 2)) * (1 - side / 640)
    return np.concatenate([corner, corner + side], 1)


def make(images: int) -> tuple[list[dict[str, torch.Tensor]], list[dict[str, Any]]]:
    """Make predictions and targets; most detections lie near an object, and 1 in 4 of those has another class."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(3, CLASSES + 3)
    share /= share.sum()
    predictions, targets = [], []
    for image in range(images):
        count = int(rng.poisson(OBJECTS))
        boxes, labels = boxes_at(rng, count), rng.choice(CLASSES, count, p=share)
        target = {"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": torch.from_numpy(labels)}
        targets.append({**target, "id": f"{image:06d}", "iscrowd": torch.from_numpy(rng.random(count) < 0.01)})
        near = rng.integers(0, count, DETECTIONS // 2) if count else np.zeros(0, np.int64)
        found = np.concatenate([boxes[near], boxes_at(rng, DETECTIONS - len(near))])
        found += rng.normal(0, 0.06, found.shape) * np.tile(found[:, 2:] - found[:, :2], 2)
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        guesses = rng.choice(CLASSES, DETECTIONS, p=share)
        right = rng.random(len(near)) < 0.75
        guesses[: len(near)][right] = labels[near][right]
        scores = np.concatenate([rng.beta(3, 3, len(near)), rng.beta(1, 5, DETECTIONS - len(near))])
        prediction = {"boxes": torch.tensor(found, dtype=torch.float32), "labels": torch.from_numpy(guesses)}
        predictions.append({**prediction, "scores": torch.tensor(scores, dtype=torch.float32)})
    return predictions, targets


def annotations(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return COCO's annotations, as a result file has them."""
    out: list[dict[str, Any]] = []
    for image, entry in enumerate(entries):
        boxes, labels = xywh(entry["boxes"].numpy()).tolist(), entry["labels"].tolist()
        for i, (box, label) in enumerate(zip(boxes, labels, strict=True)):
            row = {"image_id": image, "category_id": label, "bbox": box, "area": box[2] * box[3]}
            if "scores" in entry:
                row["score"] = float(entry["scores"][i])
            else:
                row |= {"id": len(out) + 1, "iscrowd": int(entry["iscrowd"][i])}
            out.append(row)
    return out


def ours(predictions: list[Any], targets: list[Any]) -> tuple[float, list[float]]:
    """Return seconds and COCO's 12 numbers."""
    began = time.process_time()
    metric = CocoAP(classes=[str(k) for k in range(CLASSES)])
    for start in range(0, len(targets), 16):
        metric.update(predictions[start : start + 16], targets[start : start + 16])
    numbers = metric.compute()
    return time.process_time() - began, [float(numbers[name] or 0) for name in NUMBERS]


def theirs(name: str, predictions: list[Any], targets: list[Any]) -> tuple[float, list[float]]:
    """Return seconds and COCO's 12 numbers."""
    COCO, COCOeval = modules(name)  # noqa: N806 - they are classes
    truth, results = COCO(), annotations(predictions)
    top = {"info": {}, "images": [{"id": i} for i in range(len(targets))]}
    truth.dataset = {**top, "categories": [{"id": k} for k in range(CLASSES)], "annotations": annotations(targets)}
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.process_time()
        truth.createIndex()
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return time.process_time() - began, [float(v) for v in evaluator.stats[:12]]


def memory(kind: str) -> float:
    """Return this process's memory in MB: ``VmRSS`` now, ``VmHWM`` at its peak."""
    found = re.search(rf"^{kind}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024


def child(name: str, images: int) -> None:
    """Run one evaluator and print what it took as JSON."""
    torch.set_num_threads(1)
    predictions, targets = make(images)
    before = memory("VmRSS")
    seconds, numbers = ours(predictions, targets) if name == "vf" else theirs(name, predictions, targets)
    print(json.dumps({"seconds": seconds, "numbers": numbers, "before": before, "peak": memory("VmHWM")}))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--child", choices=NAMES)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.images)
        return
    runs: dict[str, list[Any]] = {name: [] for name in NAMES}
    for _ in range(options.rounds):
        for name in NAMES:
            command = [sys.executable, __file__, "--images", str(options.images), "--child", name]
            runs[name].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    middle = {name: statistics.median(r["seconds"] for r in runs[name]) for name in NAMES}
    reference = runs["pycocotools"][0]["numbers"]
    print(f"{options.images} images x {DETECTIONS} detections, {CLASSES} classes; median of {options.rounds}")
    print("evaluator             CPU s  (min, max)      x pycocotools   peak RSS  over start  largest difference")
    for name, own in runs.items():
        times = [r["seconds"] for r in own]
        peak = max(r["peak"] for r in own)
        over = max(r["peak"] - r["before"] for r in own)
        worst = max(abs(a - b) for r in own for a, b in zip(r["numbers"], reference, strict=True))
        spread = f"({min(times):.2f}, {max(times):.2f})"
        ratio = middle[name] / middle["pycocotools"]
        print(f"{name:18} {middle[name]:8.2f}  {spread:14} {ratio:10.3f} {peak:12.0f} MB {over:8.0f} MB {worst:14.1e}")
    print("numbers: " + " ".join(f"{n} {v:.4f}" for n, v in zip(NUMBERS, reference, strict=True)))


if __name__ == "__main__":
    main()
