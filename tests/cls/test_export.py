"""Classifiers as graphs."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision import tv_tensors

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.protocols import DatasetInfo
from vf.recipes import resolve
from vf.testing import check_exported

INFO = DatasetInfo(classes=("a", "b", "c"), task="cls", num_samples={}, fingerprint="0")


def batch(rules: object) -> list[Batch]:
    pixels = torch.randint(0, 256, (3, 40, 50), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sample = Sample(tv_tensors.Image(pixels), {}, "x")
    made = Collate(fill=0)([Fitted(rules.fit(sample, with_target=False), (40, 50))] * 3)  # type: ignore[attr-defined]
    assert isinstance(made, Batch)
    return [made]


def test_a_graph_gives_probabilities_and_what_the_head_eats(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = resolve("cls/quickstart").recipe.model.build(INFO)
    model.gives_features = True  # type: ignore[assignment]
    parity = check_exported(model, batch, tmp_path)
    assert set(parity.differences) == {"probabilities", "features"}
    assert parity.total == {"images' probabilities": 3}
