"""Input pipelines of recognition beside MMOCR's: both sides in turn, in one run.

    python benchmarks/beside_mmocr.py PEERS [--rounds 3] [--only crnn,abinet]

PEERS is a folder with mmocr installed for the CPU: ``venv/bin/python``, and ``scripts/data_ocr.py`` that measures it,
makes the words in ``bccd/ocr`` (512 JPEG crops 24 to 64 px high) and prints a line of JSON. Both sides read the same
files, in one process, without workers, and make batches of 64; each is a process of its own.

crnn: decoded, resized to 32×100. abinet: to 32×128, half of the words warped (turn and shear, perspective), a quarter
made of few pixels, a quarter coloured anew.
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

BATCH, BATCHES, WARM = 64, 40, 3
RECIPE = """
task: ocr
model: {{name: crnn, size: [32, {width}], ratio: stretch, grey: true}}
data: {{name: word_list, path: {path}, train: train.json, charset: lower, holdout: 0.01}}
augment: {augment}
metrics:
  - {{name: word_accuracy}}
train:
  length: 100000 steps
  batch_size: 64
  optimizer: {{name: sgd, lr: 0.01}}
  eval_every: 0 steps
  save_every: 0 steps
loader:
  workers: 0
"""
AUGMENT = """
  - {name: word_warp, kinds: [affine, perspective], strength: 1.0, p: 0.5}
  - {name: word_fault, kinds: [coarse], strength: 1.0, p: 0.25}
  - {name: word_colour, brightness: 0.5, contrast: 0.5, saturation: 0.5, invert: 0.0, p: 0.25}
"""
# mmocr 1.0.1 asks for an mmdet before 3.2, of which its pipelines use nothing.
THEIRS = """
import runpy, sys
import mmdet
mmdet.__version__ = "3.1.0"
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def cpu() -> float:
    """Seconds of this process and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def own(what: str, data: str, folder: Path) -> dict[str, float]:
    """Measure our side: words per second and milliseconds of CPU for each."""
    from vf.console import Console
    from vf.engine.build import build_training
    from vf.recipes import resolve

    recipe = folder / "words.yaml"
    width, augment = (128, AUGMENT) if what == "abinet" else (100, "[]")
    recipe.write_text(RECIPE.format(path=data, width=width, augment=augment), encoding="utf-8")
    training = build_training(resolve(str(recipe)), folder, Console(StringIO()), limit_eval=1)
    batches: Iterator[Any] = iter(training.batches(start=0, final_from=10**9))
    for _ in range(WARM):
        next(batches)
    rows = []
    for _ in range(3):
        began, used = time.perf_counter(), cpu()
        for _ in range(BATCHES):
            next(batches)
        words = BATCH * BATCHES
        rows.append((words / (time.perf_counter() - began), (cpu() - used) / words * 1e3))
    return {"words_s": statistics.median(r[0] for r in rows), "cpu_ms": statistics.median(r[1] for r in rows)}


def theirs(what: str, peers: Path) -> dict[str, float]:
    """Measure mmocr with its own pipeline."""
    script = [str(peers / "scripts/data_ocr.py"), "0", "--pipe", what, "--n", str(BATCH * BATCHES)]
    said = said_by([str(peers / "venv/bin/python"), "-c", THEIRS, *script])
    return {"words_s": said["img_s"], "cpu_ms": said["cpu_ms_img_main"]}


def said_by(command: list[str]) -> Any:
    """Run a process and read the last line that it prints."""
    result = subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(result.stdout.strip().splitlines()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("peers", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="crnn,abinet")
    parser.add_argument("--own", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.own:
        with tempfile.TemporaryDirectory() as name:
            print(json.dumps(own(options.own, str(options.peers / "bccd/ocr"), Path(name))))
        return
    import torch

    print(f"python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores")
    print("| what | vf | mmocr | how often faster |\n|---|---|---|---|")
    for what in options.only.split(","):
        rows = []
        for _ in range(options.rounds):
            other = theirs(what, options.peers)  # first, for it makes the words
            rows.append((said_by([sys.executable, __file__, str(options.peers), "--own", what]), other))
        for key in rows[0][1]:
            ours, other_ = (statistics.median(row[side][key] for row in rows) for side in (0, 1))
            ratios = [row[0][key] / row[1][key] for row in rows]
            ratio = statistics.median(ratios if key == "words_s" else [1 / r for r in ratios])
            print(f"| {what}: {key} | {ours:.4g} | {other_:.4g} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
