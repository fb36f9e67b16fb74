"""YOLOX on two processes learns what it learns on one: its losses are divided by the pairs of all of them.

Run as a script with RANK and WORLD_SIZE, this file is one of the processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vf.data.sample import Batch
from vf_det.yolox.model import YOLOX

SIDE = 64
CASES = {
    "uneven": ([[8.0, 8.0, 40.0, 40.0], [20.0, 10.0, 60.0, 60.0], [2.0, 30.0, 20.0, 62.0]], [[20.0, 20.0, 30.0, 50.0]]),
    "none on one": ([[8.0, 8.0, 40.0, 40.0]], []),
    "none at all": ([], []),
}


def batch_of(images: Tensor, *boxes: list[list[float]]) -> Batch:
    rows = torch.tensor([row for image in boxes for row in image]).reshape(-1, 4)
    sizes = torch.tensor([[SIDE, SIDE]] * len(images))
    return Batch(
        images=images,
        sizes=sizes,
        original=sizes,
        ids=tuple(map(str, range(len(images)))),
        targets={"boxes": rows, "labels": (rows[:, 0] > 9).long()},
        counts=dict.fromkeys(("boxes", "labels"), tuple(map(len, boxes))),
    )


def gradients(model: nn.Module, batch: Batch) -> list[Tensor]:
    model.zero_grad()
    terms = model(batch)
    torch.stack([value for name, value in terms.items() if not name.startswith("_")]).sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.grad is not None]


def rank(folder: Path) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    options: Any = {"score_threshold": 0.01, "nms_iou": 0.65, "max_detections": 100}
    # Folded, because each process's norms see its own images only.
    model = YOLOX(num_classes=2, depth=0.33, width=0.125, depthwise=False, size=(SIDE, SIDE), fused=True, **options)
    model.begin_final_phase()
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    whole = {name: gradients(model, batch_of(images, *boxes)) for name, boxes in CASES.items()}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=RANK, world_size=2)
    ddp = nn.parallel.DistributedDataParallel(model)
    for name, boxes in CASES.items():
        found = gradients(ddp, batch_of(images[RANK : RANK + 1], boxes[RANK]))
        assert len(found) == len(whole[name]) > 50
        assert any(g.abs().sum() > 0 for g in found)
        for one, other in zip(whole[name], found, strict=True):
            torch.testing.assert_close(other, one, atol=1e-5, rtol=1e-5, msg=f"{name}: {other}, not {one}")
    dist.destroy_process_group()


def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    two = [subprocess.Popen(command, env={**os.environ, "RANK": n}, stderr=subprocess.PIPE, text=True) for n in "01"]
    said = [process.communicate(timeout=120)[1] for process in two]
    assert [process.returncode for process in two] == [0, 0], said


if __name__ == "__main__":
    RANK = int(os.environ["RANK"])
    rank(Path(sys.argv[1]))
