"""``vf run bench`` on a recipe, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vf = Callable[..., Any]
SMALL = (
    *("--set", "data.size=64", "--set", "data.train=24", "--set", "data.val=20", "--set", "model.width=0.125"),
    *("--set", "model.size=[64,64]", "--seconds", "0.05", "--device", "cpu"),
)


def test_a_recipe_is_measured_with_random_weights(vf: Vf) -> None:
    done = vf("run", "bench", "det/quickstart", *SMALL, "--batch-sizes", "1,2", "--workers", "0", "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out.splitlines()[-1])
    assert said["notes"][0].startswith("a recipe has no weights: these are random")
    assert said["parameters"] > 100_000
    assert said["flops"] > 1_000_000
    assert said["input"] == [64, 64]
    assert said["memory"] > 50_000_000
    assert [one["batch_size"] for one in said["timed"]] == [1, 2]
    for one in said["timed"]:
        assert one["batches"] >= 5
        assert set(one["stages_ms"]) == {"decode", "preprocess", "model", "postprocess"}
        assert one["latency_ms"]["p50"] <= one["latency_ms"]["p90"] <= one["latency_ms"]["p99"]
    assert set(said["pipelines"]) == {"train", "val"}
    assert "ms an image at batch" in said["bottleneck"]
    assert "batch 2: " in done.err


def test_data_that_are_not_here_are_made_up(vf: Vf) -> None:
    words = ("--set", "model.width=0.125", "--set", "model.size=[64,64]", "--seconds", "0.05", "--batch-sizes", "1")
    done = vf("run", "bench", "det/yolox_nano_coco", *words, "--classes", "7", "--device", "cpu")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[1] == "note  the recipe's data are not here: 7 classes were made up; --classes N says how many"
    assert "noise of 480×640 px" in lines[3]
    assert lines[5] == "data  not here: no input pipeline to measure; --data PATH names some"


def test_data_that_were_asked_for_have_to_be_there(vf: Vf, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for kind in ("boxes", "things"):
        text = json.dumps({"images": [], "annotations": [], "categories": []})
        (tmp_path / "annotations" / f"instances_val2017_{kind}.json").write_text(text)
    done = vf("run", "bench", "det/quickstart", "--data", str(tmp_path), "--device", "cpu")
    assert done.code == 2
    files = [f"annotations/instances_val2017_{kind}.json" for kind in ("boxes", "things")]
    said = f"{tmp_path}: val could be {files[0]} or {files[1]}; say which: --set data.val={files[0]}"
    assert done.err == f"error: {said}\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "say what to measure: a recipe, a run or a checkpoint, or --task TASK for its newest run"),
        (("det/quickstart", "--batch-sizes", "0"), "--batch-sizes 0: expected whole numbers from 1 on, as 1,4,8"),
    ],
)
def test_what_is_refused(vf: Vf, words: tuple[str, ...], said: str) -> None:
    done = vf("run", "bench", *words)
    assert (done.code, done.err) == (2, f"error: {said}\n")


def test_an_interrupted_measurement_says_what_it_had(vf: Vf, monkeypatch: pytest.MonkeyPatch) -> None:
    from vf.bench import run

    once = run.timed

    def stopped(subject: Any, size: int, seconds: float) -> Any:
        if size == 2:
            raise KeyboardInterrupt
        return once(subject, size, seconds)

    monkeypatch.setattr(run, "timed", stopped)
    done = vf("run", "bench", "det/quickstart", *SMALL, "--batch-sizes", "1,2")
    assert done.code == 130
    assert "batch 1: " in done.out
    assert "interrupted" in done.out
    assert "so    of " in done.out
