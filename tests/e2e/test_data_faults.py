"""Data workers that die, images that are broken and plugins that are wrong, as a user meets them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

KILLED = "a data worker died (Killed); often memory runs out: try fewer loader.workers"
BUG = '''
import vf

VF_API = 1


def fail(sample):
    raise RuntimeError("shapes do not match")


@vf.config
class Bug:
    """A transform whose code is wrong."""

    def build(self):
        return fail


@vf.hookimpl
def vf_transforms():
    return {"bug": Bug}
'''


def losses(run: Path) -> list[float]:
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [r["loss"] for r in records if r["kind"] == "train"]


def test_a_worker_of_one_of_two_processes_that_dies_changes_nothing(toy: Any) -> None:
    assert toy.run("toy.yaml", "--out", "calm")[0] == 0
    died = toy.folder / "died"
    deadly = ("--set", "data.deadly=5", "--set", f"data.once={died}")
    code, out, err = toy.run("toy.yaml", *deadly, "--nproc", "2", "--out", "disturbed")
    assert (code, err, died.exists()) == (0, "", True), out
    assert losses(toy.folder / "disturbed") == pytest.approx(losses(toy.folder / "calm"), abs=1e-5)


def test_a_worker_that_dies_again_and_again_ends_the_run_in_one_line(toy: Any) -> None:
    code, out, err = toy.run("toy.yaml", "--set", "data.deadly=5", "--out", "run")
    assert code == 2
    assert re.fullmatch(rf"error: step \d+: {re.escape(KILLED)}\n", err)
    warnings = [line for line in out.splitlines() if line.startswith("warning")]
    assert [re.sub(r"step \d+", "step N", line) for line in warnings] == [
        f"warning: step N: {KILLED}; started new ones"
    ] * 3


def test_broken_images_are_skipped_and_listed_by_every_process(toy: Any) -> None:
    skip = ("--set", "data.broken=3", "--set", "loader.on_error=skip")
    code, out, err = toy.run("toy.yaml", *skip, "--nproc", "2", "--out", "run")
    assert (code, err) == (0, ""), out
    records = [json.loads(line) for line in (toy.folder / "run/skipped.jsonl").read_text().splitlines()]
    assert {record["problem"] for record in records} == {"square 3: is broken"}
    assert len(records) >= 12 * 12 // 26  # once in each epoch, and where another picture's place takes it
    assert len(losses(toy.folder / "run")) == 12


def test_a_broken_image_stops_the_run_in_one_line(toy: Any) -> None:
    code, _, err = toy.run("toy.yaml", "--set", "data.broken=3", "--out", "run")
    assert (code, err) == (2, "error: square 3: is broken\n")


def test_a_mistake_in_a_plugin_is_shown_as_it_is_and_ends_the_run(toy: Any) -> None:
    site = toy.folder / "site"
    (site / "vf_bug.py").write_text(BUG)
    (site / "vf_bug-1.0.dist-info").mkdir()
    (site / "vf_bug-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: vf-bug\nVersion: 1.0\n")
    (site / "vf_bug-1.0.dist-info/entry_points.txt").write_text("[vf]\nbug = vf_bug\n")
    code, _, err = toy.run("toy.yaml", "--set", "augment=[{name: bug}]", "--out", "run")
    assert code == 1
    assert 'in fail\n    raise RuntimeError("shapes do not match")\nRuntimeError: shapes do not match' in err
    assert "data worker died" not in err
