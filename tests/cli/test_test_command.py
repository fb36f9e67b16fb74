"""``vf run test``: what is refused before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Vf = Callable[..., Any]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "say what to test: a run or a checkpoint, or --predictions FILE"),
        (
            ("run", "--format-only"),
            "--format-only: say where: --out-prefix P for files P.bbox.json and the like, or --out FILE",
        ),
        (("run", "--wait-time", "1"), "--wait-time: belongs to --show"),
        (("run", "--wait-time", "0", "--show-dir", "x"), "--wait-time: belongs to --show"),
        (("run", "--show-score-thr", "0"), "--show-score-thr: belongs to --show-dir or --show"),
        (("run", "--interval", "2"), "--interval: belongs to --show-dir or --show"),
        (("--predictions", "p.json", "--nproc", "2"), "--predictions: no model runs; leave out --nproc"),
        (
            ("--predictions", "p.json", "--device", "cpu", "--nodes", "2"),
            "--predictions: no model runs; leave out --nodes, --device",
        ),
        (("run", "--tta-merge", "wbf"), "--tta-merge: belongs to --tta"),
        (("run", "--no-tta-flip"), "--tta-flip: belongs to --tta"),
        (("--tta", "run"), "--tta run: expected factors on the input size, as 0.8,1,1.2"),
        (("--predictions", "p.json", "--tta"), "--predictions: no model runs; leave out --tta"),
        (("nothing",), "nothing: no such run, checkpoint or file"),
        (("--predictions", "p.json"), "--predictions p.json: no such file"),
    ],
)
def test_mistakes_of_one_line(vf: Vf, arguments: tuple[str, ...], sentence: str) -> None:
    said = vf("run", "test", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {sentence}\n")


def test_a_split_with_another_name(vf: Vf) -> None:
    said = vf("run", "test", "run", "--split", "dev")
    assert said.code == 2
    assert "'dev' is not one of 'train', 'val', 'test'" in said.err
