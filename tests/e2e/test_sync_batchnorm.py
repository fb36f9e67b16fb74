"""``train.sync_batchnorm`` makes the batch norms of two processes those of one, from start to checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

PLUGIN = '''
"""The toy's network with its norm and without its dropout, which draws other numbers in each process."""

import vf
import vf_toy
from torch import nn

VF_API = 1


@vf.config
class Normed(vf_toy.NetConfig):
    """A convolution, a norm and a linear layer."""

    def build(self, info):
        model = super().build(info)
        model.drop = nn.Identity()
        return model


@vf.hookimpl
def vf_models():
    return {"normed": Normed}
'''


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["loss"] for r in records if r["kind"] == "train"]


def test_two_processes_with_shared_norms_train_as_one(toy: Any) -> None:
    site = toy.folder / "site"
    info = site / "vf_normed-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vf-normed\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vf]\nnormed = vf_normed\n")
    (site / "vf_normed.py").write_text(PLUGIN)
    shared = ("train.sync_batchnorm=true", "train.checkpoint_activations=[norm]")
    for number, changes in ((1, ()), (2, shared)):
        options = [part for change in ("model={name: normed}", *changes) for part in ("--set", change)]
        code, out, err = toy.run("toy.yaml", *options, "--nproc", str(number), "--out", f"run{number}")
        assert (code, err) == (0, ""), out
    assert losses(toy.folder / "run2") == pytest.approx(losses(toy.folder / "run1"), abs=1e-5)
    one, two = (load_file(toy.folder / f"run{n}/checkpoints/last/model.safetensors") for n in (1, 2))
    assert one.keys() == two.keys()
    assert all(torch.allclose(two[name], tensor, atol=1e-5) for name, tensor in one.items())
