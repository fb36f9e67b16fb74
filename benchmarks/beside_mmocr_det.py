"""DBNet-R18 beside MMOCR: latency of an image, reading of a page with 200 words; both sides in turn, in one run.

    python benchmarks/beside_mmocr_det.py PEERS DATA [--rounds 3] [--threads 1]

PEERS is a folder with mmocr installed for the CPU (``venv/bin/python``), DATA one with photographs, of which the first
is taken. Each side is a process of its own. Both have one and the same weights, of which nothing is found, so that the
latency is of decoding, resizing and the network at 736×1312 px; outlines are read from one drawn map. Times are CPU
seconds of the process with all its threads: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

CONFIG = "dbnet/dbnet_resnet18_fpnc_1200e_icdar2015.py"
RECIPE = "ocr/dbnet_r18_fpnc_1200e_icdar2015"
LAST = "det_head.binarize.6.bias"


def timed(work: Callable[[], Any], times: int, clock: Callable[[], float]) -> float:
    """Return the median time of a call, after two that do not count."""
    found = []
    for _ in range(times + 2):
        began = clock()
        work()
        found.append(clock() - began)
    return statistics.median(found[2:])


def drawn() -> np.ndarray:
    """Return shares of kernels [736,1280] of 200 words."""
    import cv2

    rng = np.random.default_rng(0)
    out = np.zeros((736, 1280), np.float32)
    for row in range(20):
        for column in range(10):
            middle = (column * 126 + 63, row * 36 + 18)
            size = (rng.uniform(40, 100), rng.uniform(6, 12))
            corners = cv2.boxPoints((middle, size, rng.uniform(-5, 5)))
            cv2.fillPoly(out, [np.rint(corners).astype(np.int32)], 1.0)
    blurred: np.ndarray = cv2.GaussianBlur(out, (5, 5), 1) * np.float32(0.95)
    return blurred


def answers(predict: Callable[[], Any], read: Callable[[], int]) -> dict[str, float]:
    """Measure one side."""
    assert read() == 200
    return {
        "image_ms": timed(predict, 5, time.process_time) * 1e3,
        "image_wall_ms": timed(predict, 5, time.perf_counter) * 1e3,
        "read_ms": timed(read, 15, time.process_time) * 1e3,
    }


def peer_side(image: Path, folder: Path, *, make: bool) -> None:
    """Run inside of mmocr's environment: make the weights, or measure."""
    import mmdet

    mmdet.__version__ = "3.1.0"  # mmocr 1.0.1 refuses newer ones, which do the same here
    import mmocr
    from mmcv.transforms import Compose
    from mmengine.config import Config
    from mmengine.dataset import pseudo_collate
    from mmocr.registry import MODELS
    from mmocr.structures import TextDetDataSample
    from mmocr.utils import register_all_modules

    register_all_modules()
    cfg = Config.fromfile(str(Path(mmocr.__file__).parent / ".mim/configs/textdet" / CONFIG))
    cfg.model.backbone.init_cfg = None
    model = MODELS.build(cfg.model).eval()
    if make:
        model.init_weights()
        model.state_dict()[LAST].fill_(-20.0)
        torch.save({"state_dict": model.state_dict()}, folder / "weights.pth")
        return
    model.load_state_dict(torch.load(folder / "weights.pth")["state_dict"])
    steps = [s for s in cfg.test_pipeline if s["type"] != "LoadOCRAnnotations"]
    pipeline = Compose(steps)

    def predict() -> Any:
        with torch.no_grad():
            return model.test_step(pseudo_collate([pipeline({"img_path": str(image)})]))

    shares = torch.from_numpy(drawn())
    reader = model.det_head.postprocessor
    print(
        json.dumps(answers(predict, lambda: len(reader.get_text_instances(shares, TextDetDataSample()).pred_instances)))
    )


def own_side(image: Path, folder: Path) -> None:
    """Convert the weights and measure."""
    from vf.conversion import Order, convert
    from vf.foreign import read_foreign
    from vf.predict import Predictor

    out = folder / f"ours{os.getpid()}.safetensors"
    convert(read_foreign(folder / "weights.pth"), out, Order(source="mmocr", to=RECIPE, classes=("text",)))
    predictor = Predictor.load(out)
    model: Any = predictor.model
    shares = drawn()[None]
    print(json.dumps(answers(lambda: predictor(image), lambda: len(model.reader(shares).scores))))


def said_by(command: list[str], threads: int) -> Any:
    """Run a process and read the line of JSON that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    done = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    return json.loads(lines[-1]) if lines else None


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", nargs=2, default=(), help=argparse.SUPPRESS)
    options = parser.parse_args()
    image = sorted(f for f in options.data.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg", ".png"))[0]
    if options.side:
        side, folder = options.side[0], Path(options.side[1])
        own_side(image, folder) if side == "own" else peer_side(image, folder, make=side == "make")
        return
    rows: list[tuple[dict[str, float], dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as made:
        tail = [__file__, str(options.peers), str(options.data), "--side"]
        peer = [str(options.peers / "venv/bin/python"), *tail]
        said_by([*peer, "make", made], options.threads)
        for _ in range(options.rounds):
            own = said_by([sys.executable, *tail, "own", made], options.threads)
            rows.append((own, said_by([*peer, "peer", made], options.threads)))
            print(*rows[-1], flush=True)
    print(f"python {platform.python_version()}, torch {torch.__version__}, {options.threads} threads, {image.name}")
    print("| what | vf | mmocr | vf / mmocr, median of rounds |\n|---|---|---|---|")
    for key, what in (
        ("image_ms", "image, CPU ms"),
        ("image_wall_ms", "image, ms"),
        ("read_ms", "200 words read, CPU ms"),
    ):
        ours, theirs = (statistics.median(row[i][key] for row in rows) for i in (0, 1))
        ratio = statistics.median(a[key] / b[key] for a, b in rows)
        print(f"| {what} | {ours:.1f} | {theirs:.1f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
