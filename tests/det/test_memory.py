"""Memory: workers share the annotations, and an evaluation keeps predictions only.

Run as a script, this file is the process that is measured: ``test_memory.py share`` prints by how many bytes eight
workers grow, ``test_memory.py evaluate`` the peaks of evaluating few and many images, without and with a worker.
"""

from __future__ import annotations

import gc
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import tv_tensors

from vf.console import Console
from vf.data.annotations import Annotations, Builder
from vf.data.loader import eval_batches
from vf.data.pipeline import EvalView
from vf.data.sample import Batch, Sample
from vf.engine.evaluate import evaluate
from vf.engine.precision import make_precision
from vf.nn.preprocess import Letterbox
from vf_det.coco_ap import CocoAP, Rows
from vf_det.data.boxes import BoxDataset
from vf_det.data.source import Part

WORKERS = 8
BOXES = 1_000_000
IMAGES = 500
SIDE = 160

ROLLUP = Path("/proc/self/smaps_rollup")
linux = pytest.mark.skipif(not ROLLUP.exists() or "Pss_Anon" not in ROLLUP.read_text(), reason="reads /proc of Linux")


def measured(*arguments: str) -> list[int]:
    """Run this file in a process of its own and return the numbers that it prints."""
    command = [sys.executable, __file__, *arguments]
    return list(map(int, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()))


@linux
def test_eight_workers_share_a_million_boxes() -> None:
    size, by_reading, by_writing = measured("share")
    assert size > 25 * BOXES
    assert by_reading < 0.1 * size
    assert by_writing > 0.6 * WORKERS * size, "of 25 bytes a box, the 16 of its corners: copies are seen"


def share() -> Iterator[int]:
    """Yield the bytes of the annotations, and by how many all processes together grow when workers use them."""
    with tempfile.TemporaryDirectory() as name:
        Image.new("RGB", (8, 8)).save(Path(name, "a.jpg"))
        first = million()
        second = attrs.evolve(first, **{key: value.copy() for key, value in arrays(first).items()})
        yield sum(a.nbytes for a in arrays(second).values())
        one, two = (BoxDataset(Part(Path(name), a), normalised=False, with_crowd=True) for a in (first, second))
        gc.collect()
        gc.freeze()
        # The first turn reads as much as the second: what a worker needs to run is its own from then on.
        with workers(lambda: read(one), lambda: read(two), lambda: second.boxes.fill(0)) as (family, go):
            go()
            before = sum(map(proportional, family))
            for _ in range(2):
                go()
                after = sum(map(proportional, family))
                yield after - before
                before = after


def read(dataset: BoxDataset) -> None:
    for i in range(len(dataset)):
        dataset[i]


def million() -> Annotations:
    builder = Builder()
    rows = [((0.0, 0.0, float(i % 8 + 1), 8.0), i % 80, False, math.nan) for i in range(BOXES // IMAGES)]
    for _ in range(IMAGES):
        builder.add("a.jpg", rows)
    return builder.freeze()


def arrays(flat: Annotations) -> dict[str, Any]:
    return {field.name: getattr(flat, field.name) for field in attrs.fields(Annotations)}


@contextmanager
def workers(*turns: Callable[[], None]) -> Iterator[tuple[list[int], Callable[[], None]]]:
    """Fork; ``go()`` lets every worker take its next turn, and waits for all of them."""
    pipes = [(os.pipe(), os.pipe()) for _ in range(WORKERS)]
    family = [os.getpid()]
    for (order, _), (_, answer) in pipes:
        family.append(os.fork())
        if not family[-1]:
            work(turns, order, answer)

    def go() -> None:
        for (_, order), _ in pipes:
            os.write(order, b"!")
        for _, (answer, _) in pipes:
            os.read(answer, 1)

    yield family, go
    for (_, order), _ in pipes:
        os.write(order, b"!")
    for child in family[1:]:
        os.waitpid(child, 0)


def work(turns: Sequence[Callable[[], None]], order: int, answer: int) -> NoReturn:
    for turn in turns:
        os.read(order, 1)
        turn()
        os.write(answer, b"!")
    os.read(order, 1)
    os._exit(0)


def proportional(pid: int) -> int:
    """Return a process's memory in bytes, of which a page that N share counts one N-th; without mapped files."""
    found = re.search(r"^Pss_Anon:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def test_the_rows_of_a_metric_come_out_as_they_went_in() -> None:
    rows = Rows(7)
    assert rows.table.shape == (0, 7)
    added = [np.random.default_rng(n).random((n, 7), np.float32) for n in (0, 3, 1021, 1, 5000, 0)]
    for one in added:
        rows.add(one)
    assert np.array_equal(rows.table, np.concatenate(added))


@linux
def test_an_evaluation_of_ten_times_the_images_takes_no_more_memory() -> None:
    pixels = 1800 * 3 * SIDE**2
    few, many, few_by_worker, many_by_worker = measured("evaluate")
    assert many - few < 0.05 * pixels
    assert many_by_worker - few_by_worker < 0.05 * pixels


class Noise:
    """Images with one object and its mask."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        image = tv_tensors.Image(torch.full((3, SIDE, SIDE), index % 256, dtype=torch.uint8))
        target = {
            "boxes": tv_tensors.BoundingBoxes([[1.0, 1.0, 9.0, 9.0]], format="XYXY", canvas_size=(SIDE, SIDE)),
            "labels": torch.tensor([0]),
            "masks": tv_tensors.Mask(torch.ones(1, SIDE, SIDE, dtype=torch.bool)),
        }
        return Sample(image, target, f"{index:012d}.jpg")


class Trivial(nn.Module):
    """Finds the same three boxes everywhere."""

    def forward(self, batch: Batch) -> list[dict[str, torch.Tensor]]:
        boxes = torch.tensor([[1.0, 1.0, 9.0, 9.0], [2.0, 2.0, 9.0, 9.0], [40.0, 40.0, 50.0, 50.0]])
        return [{"boxes": boxes, "scores": torch.rand(3), "labels": torch.zeros(3).long()} for _ in batch.ids]


class Collector(CocoAP):
    """What the loop adds up, without COCO's tables of it, which are made at the end and thrown away."""

    def compute(self) -> dict[str, float | None]:
        return {}

    def table(self) -> list[tuple[str, float | None]]:
        return []


def peaks(*, workers: int) -> Iterator[int]:
    """Yield the peak memory of evaluating 200 images, and then 2000, in bytes."""
    letterbox = Letterbox(size=(SIDE, SIDE))
    for turn, count in enumerate((200, 200, 2000)):  # the first one warms up
        options = {"batch_size": 16, "fill": 114, "workers": workers, "prefetch": 2, "pin": False}
        batches = eval_batches(EvalView(Noise(count), letterbox), range(count), **options)  # type: ignore[arg-type]
        precision = make_precision("fp32", torch.device("cpu"))
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from here
        metrics = {"ap": Collector(classes=("a",))}
        evaluate(Trivial(), batches, metrics, precision, console=Console(StringIO()), label="val")
        found = re.search(r"^VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        assert found
        if turn:
            yield int(found[1]) * 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(*(share() if sys.argv[1] == "share" else [*peaks(workers=0), *peaks(workers=1)]))
