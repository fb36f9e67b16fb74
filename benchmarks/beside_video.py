"""A video, file in, drawn file out: `vf run infer` beside a plain loop of OpenCV and torch, and beside MMDetection.

    python benchmarks/beside_video.py WEIGHTS [--video FILE] [--peers FOLDER] [--rounds 3] [--frames 10000]

WEIGHTS is a detector of ours: `python benchmarks/parity_yolox.py --out FOLDER` writes the published YOLOX-nano. PEERS
is a folder whose ``venv/bin/python`` has mmdet for the CPU; its side is YOLOX-nano too, at the same 416×416 px, without
weights, so that it finds next to nothing and draws less. Each side is a process of its own, in turn, with the threads
that its libraries take by default, or --threads. Frames a second count from the first decoded frame to the closed file:
imports and the model's load, where we are faster, are left out.

Memory: a film of --frames frames, made of the video again and again; what the process holds after 100 frames and at
the end, from /proc. 0: not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
THRESHOLD = 0.3
BATCH = 8

PEER = """
import sys, time, warnings
warnings.filterwarnings("ignore")
import cv2, json, mmcv, mmdet, os
from mmcv.transforms import Compose
from mmdet.apis import inference_detector, init_detector
from mmdet.registry import VISUALIZERS
from mmengine.config import Config
video, out = sys.argv[1:]
cfg = Config.fromfile(os.path.join(os.path.dirname(mmdet.__file__), ".mim/configs/yolox/yolox_nano_8xb8-300e_coco.py"))
model = init_detector(cfg, None, device="cpu")
model.cfg.test_dataloader.dataset.pipeline[0].type = "mmdet.LoadImageFromNDArray"
pipeline = Compose(model.cfg.test_dataloader.dataset.pipeline)
visualizer = VISUALIZERS.build(model.cfg.visualizer)
visualizer.dataset_meta = model.dataset_meta
began = time.perf_counter()
reader = mmcv.VideoReader(video)
writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), reader.fps, (reader.width, reader.height))
count = 0
for frame in reader:
    found = inference_detector(model, frame, test_pipeline=pipeline)
    visualizer.add_datasample("video", frame, data_sample=found, draw_gt=False, show=False, pred_score_thr=0.3)
    writer.write(visualizer.get_image())
    count += 1
writer.release()
print(json.dumps({"frames": count, "seconds": time.perf_counter() - began}))
"""


def plain_loop(weights: str, video: str, out: str) -> dict[str, float]:
    """What somebody writes in ten minutes: read, resize, predict, draw, write, one frame after another."""
    import cv2
    import torch

    import vf
    from vf.data.sample import Batch

    predictor = vf.load(weights, device="cpu")
    model, classes = predictor.model, predictor.info.classes
    height, width = predictor.preprocess.size  # type: ignore[attr-defined]
    began, count = time.perf_counter(), 0
    reader = cv2.VideoCapture(video)
    fps = reader.get(cv2.CAP_PROP_FPS)
    writer = None
    while True:
        there, frame = reader.read()
        if not there:
            break
        ratio = min(height / frame.shape[0], width / frame.shape[1])
        small = cv2.resize(frame, (int(frame.shape[1] * ratio), int(frame.shape[0] * ratio)))
        tensor = torch.from_numpy(cv2.cvtColor(small, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)[None]
        batch = Batch(
            images=tensor,
            sizes=torch.tensor([small.shape[:2]]),
            original=torch.tensor([frame.shape[:2]]),
            ids=("",),
            targets={},
            counts={},
        )
        with torch.no_grad():
            (found,) = model(batch)
        for box, score, label in zip(found["boxes"].tolist(), found["scores"], found["labels"], strict=True):
            if score >= THRESHOLD:
                x1, y1, x2, y2 = map(int, box)
                cv2.rectangle(frame, (x1, y1), (x2, y2), (0, 200, 0), 2)
                text = f"{classes[int(label)]} {float(score):.2f}"
                cv2.putText(frame, text, (x1, max(12, y1 - 4)), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 200, 0), 1)
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), fps, size)  # type: ignore[attr-defined]
        writer.write(frame)
        count += 1
    if writer is not None:
        writer.release()
    return {"frames": count, "seconds": time.perf_counter() - began}


THREADS: dict[str, str] = {}


def environment() -> dict[str, str]:
    """That of this process, with the threads of each library left to it or as asked."""
    own = {key: value for key, value in os.environ.items() if key not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    return own | THREADS


def said_by(command: list[str]) -> dict[str, float]:
    """Run a side; return the JSON of its last line."""
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command[:3])} …: {done.stderr.strip().splitlines()[-1]}")
    said: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return said


def ours(weights: str, video: str, out: Path, *more: str) -> float:
    """Frames a second that `vf run infer` says."""
    command = [sys.executable, "-m", "vf_cli", "run", "infer", weights, video, "--out-video", str(out)]
    command += ["--batch-size", str(BATCH), "--device", "cpu", *more]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    found = re.search(r"frames, ([\d.]+) a second", done.stdout)
    if done.returncode or not found:
        sys.exit(f"vf run infer: {done.stderr or done.stdout}")
    return float(found.group(1))


def rates(args: argparse.Namespace, folder: Path) -> None:
    """Print frames a second of each side, and the ratios."""
    own = [sys.executable, __file__, args.weights, "--video", str(args.video), "--loop", str(folder / "loop.mp4")]
    sides: dict[str, Any] = {
        "vf run infer, .mp4": lambda: ours(args.weights, str(args.video), folder / "ours.mp4"),
        "vf run infer, .avi": lambda: ours(args.weights, str(args.video), folder / "ours.avi"),
        "plain loop": lambda: _rate(said_by(own)),
    }
    if args.peers:
        peer = [str(args.peers / "venv/bin/python"), "-c", PEER, str(args.video), str(folder / "peer.mp4")]
        sides["mmdet"] = lambda: _rate(said_by(peer))
    rows: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.rounds):
        for name, measure in sides.items():
            rows[name].append(measure())
    middle = {name: statistics.median(values) for name, values in rows.items()}
    best = middle["vf run infer, .mp4"]
    print(f"{args.video.name}, median of {args.rounds}")
    for name, values in rows.items():
        spread = ", ".join(f"{value:.1f}" for value in values)
        print(f"  {name:20} {middle[name]:7.1f} frames/s  ({spread})  ours is {best / middle[name]:.2f}×")


def _rate(said: dict[str, float]) -> float:
    return said["frames"] / said["seconds"]


def memory(args: argparse.Namespace, folder: Path) -> None:
    """Print what the process holds after 100 frames and at the end of a long film."""
    film, lines = folder / "long.mp4", folder / "lines.jsonl"
    _lengthened(args.video, film, args.frames)
    command = [sys.executable, "-m", "vf_cli", "run", "infer", args.weights, str(film), "--jsonl", str(lines)]
    command += ["--out-video", str(folder / "drawn.mp4"), "--batch-size", str(BATCH), "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    seen: list[tuple[int, float]] = []
    count, read = 0, None
    while process.poll() is None:
        time.sleep(0.1)
        read = read or (lines.open("rb") if lines.exists() else None)
        count += read.read().count(b"\n") if read else 0
        status = Path(f"/proc/{process.pid}/status").read_text() if process.poll() is None else ""
        if (found := re.search(r"VmRSS:\s+(\d+)", status)) and count >= 100:
            seen.append((count, int(found.group(1)) / 1024))
    if read:
        read.close()
    if process.returncode or not seen:
        sys.exit(f"vf run infer ended with {process.returncode}")
    marks = [next(row for row in seen if row[0] >= goal) for goal in (100, args.frames // 10, args.frames // 2)]
    held = ", ".join(f"{value:.0f} MB after {number}" for number, value in (*marks, seen[-1]))
    print(f"{args.frames} frames: {held}; {max(value for _, value in seen):.0f} MB at most")


def _lengthened(video: Path, out: Path, count: int) -> None:
    import cv2

    reader, writer = cv2.VideoCapture(str(video)), None
    for _ in range(count):
        there, frame = reader.read()
        if not there:
            reader = cv2.VideoCapture(str(video))
            there, frame = reader.read()
        if writer is None:
            size = (frame.shape[1], frame.shape[0])
            writer = cv2.VideoWriter(str(out), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, size)  # type: ignore[attr-defined]
        writer.write(frame)
    if writer is not None:
        writer.release()


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("weights")
    parser.add_argument("--video", type=Path, default=DATA / "video/car-detection.mp4")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=0, help="of each model; 0: what its library takes")
    parser.add_argument("--loop", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        print(json.dumps(plain_loop(args.weights, str(args.video), args.loop)))
        return
    if args.threads:
        THREADS["OMP_NUM_THREADS"] = str(args.threads)
    with tempfile.TemporaryDirectory() as name:
        if args.rounds:
            rates(args, Path(name))
        if args.frames:
            memory(args, Path(name))


if __name__ == "__main__":
    main()
