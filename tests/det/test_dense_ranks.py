"""The dense detectors on two processes learn what they learn on one: losses are divided by the positives of all.

Run as a script with RANK, this file is one of the processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from vf.backbones import ResNet
from vf.data.sample import Batch
from vf.necks import FPN
from vf.resizing import Resize
from vf.testing import INFO
from vf_det import dense_configs

SIDE = 64
CASES: dict[str, Any] = {
    "uneven": ([[8.0, 8.0, 40.0, 40.0], [20.0, 10.0, 60.0, 60.0], [2.0, 30.0, 20.0, 62.0]], [[20.0, 20.0, 30.0, 50.0]]),
    "none on one": ([[8.0, 8.0, 40.0, 40.0]], []),
    "none at all": ([], []),
}
# Norms with constant statistics, because each process's norms see its own images only.
BACKBONE = ResNet(depth=18, out=(2, 3, 4), norm="frozen_bn")
PYRAMID: dict[str, Any] = {
    "backbone": BACKBONE,
    "neck": FPN(channels=32, extra="conv_out"),
    "resize": Resize(short=SIDE, long=SIDE),
    "head_width": 64,
    "head_depth": 1,
}
CONFIGS: dict[str, Any] = {
    "retinanet": dense_configs.RetinaNet(**PYRAMID),
    "fcos": dense_configs.FCOS(**PYRAMID),
    "ssd": dense_configs.SSD(backbone=BACKBONE, size=SIDE, scales=(0.2, 0.4, 0.8, 1.0), ratios=((2.0,),) * 3),
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
    images = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    models, whole = {}, {}
    for kind, config in CONFIGS.items():
        torch.manual_seed(0)
        models[kind] = config.build(INFO)
        whole[kind] = {name: gradients(models[kind], batch_of(images, *boxes)) for name, boxes in CASES.items()}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=RANK, world_size=2)
    for kind, model in models.items():
        ddp = nn.parallel.DistributedDataParallel(model)
        for name, boxes in CASES.items():
            found = gradients(ddp, batch_of(images[RANK : RANK + 1], boxes[RANK]))
            assert len(found) == len(whole[kind][name]) > 20
            for one, other in zip(whole[kind][name], found, strict=True):
                error, size = (other - one).norm().item(), one.norm().item()
                assert error <= 1e-4 * size, f"{kind}, {name}: {error} of {size}"
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path)]
    two = [subprocess.Popen(command, env={**os.environ, "RANK": n}, stderr=subprocess.PIPE, text=True) for n in "01"]
    said = [process.communicate(timeout=240)[1] for process in two]
    assert [process.returncode for process in two] == [0, 0], said


if __name__ == "__main__":
    RANK = int(os.environ["RANK"])
    rank(Path(sys.argv[1]))
