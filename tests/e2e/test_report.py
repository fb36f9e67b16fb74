"""``vf report`` of a run of each task, and of runs that lack something."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vf = Callable[..., Any]
SMALL = {
    "cls": ("data.train=20", "data.val=6", "data.test=8", "data.size=32"),
    "det": ("data.train=8", "data.val=4", "data.test=5", "data.size=96", "model.size=[96, 96]"),
    "seg": ("data.train=8", "data.val=4", "data.test=5"),
    "ocr": ("data.train=8", "data.val=4", "data.test=3"),
}
COUNTED = {
    "cls": {"pr", "confusion"},
    "det": {"pr", "confusion"},
    "seg": {"confusion"},
    "ocr": {"pr"},
}


def trained(vf: Vf, task: str, out: str = "run") -> Path:
    """Train a run of a few steps."""
    sets = [
        part
        for item in (
            *SMALL[task],
            "train.length=2 steps",
            "train.log_every=1",
            "train.batch_size=4",
            "loader.workers=0",
        )
        for part in ("--set", item)
    ]
    said = vf("run", "train", "--task", task, "--out", out, "--device", "cpu", *sets)
    assert said.code == 0, said.err
    return Path(out)


def figures(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json" id="vf-data">(.*)</script>', text)
    assert found
    plain: dict[str, Any] = json.loads(found[1])
    return plain


@pytest.mark.parametrize("task", sorted(SMALL))
def test_a_report_of_each_task(vf: Vf, task: str) -> None:
    run = trained(vf, task)
    said = vf("report", str(run), "--images", "4", "--device", "cpu")
    assert (said.code, said.err) == (0, "")
    assert said.out.endswith("wrote run/report.html\n")
    text = (run / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"<h2>(.*?)</h2>", text)[:2] == ["Curves", "Metrics"]
    assert {"Data", "Environment", "Recipe"} <= set(re.findall(r"<h2>(.*?)</h2>", text))
    drawn = figures(run / "report.html")
    assert {"losses", "train lr", "train images_per_s"} | COUNTED[task] <= set(drawn)
    assert f"--set {SMALL[task][0]}" in text  # who set it
    assert "measured here" in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    again = vf("report", str(run), "--images", "4", "--device", "cpu", "--out", "again.html")
    assert again.code == 0
    assert text == Path("again.html").read_text(encoding="utf-8")  # what is told depends on nothing else


def test_saved_predictions_are_taken_instead_of_the_model(vf: Vf) -> None:
    run = trained(vf, "cls")
    asked = ("run", "test", str(run), "--device", "cpu", "--out", str(run / "predictions/test.json"))
    assert vf(*asked).code == 0
    said = vf("report", str(run))
    assert (said.code, said.err) == (0, "")
    assert "test  run/predictions/test.json on 8 images" in said.out
    some = vf("report", str(run), "--images", "3", "--out", "some.html")
    assert "on 3 images of split 'test'" in some.out
    assert sum(map(sum, figures(Path("some.html"))["confusion"]["counts"])) == 3


def test_what_cannot_be_had_is_left_out_and_said(vf: Vf) -> None:
    run = trained(vf, "cls")
    shutil.rmtree(run / "checkpoints")
    (run / "job.json").write_text("{")
    (run / "environment.jsonl").unlink()
    with (run / "log.jsonl").open("a") as log:
        log.write('{"kind": "tr')
    said = vf("report", str(run), "--no-stats")
    assert (said.code, said.err) == (0, "")
    assert "warning: not measured: " in said.out
    text = (run / "report.html").read_text(encoding="utf-8")
    assert "not measured: " in text
    assert "1 lines of the log cannot be read" in text
    assert "made by an older vf" in text
    assert "<h2>Data</h2>" not in text
    assert vf("report", str(run), "--no-predict").out.count("warning") == 0


def test_a_run_that_logged_nothing(vf: Vf) -> None:
    run = trained(vf, "cls")
    shutil.rmtree(run / "checkpoints")
    (run / "log.jsonl").write_text("")
    assert vf("report", str(run), "--no-predict", "--out", "a.html").code == 0
    assert "The run has logged nothing" in Path("a.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "nowhere: no such run or checkpoint"),
        ((".",), ".: neither a run folder nor a checkpoint of one: no recipe.yaml in it or above it"),
        (("run", "--out", "page.txt"), "--out page.txt: expected a name that ends in .html"),
        (("run", "--no-predict", "--split", "val"), "--no-predict: measures nothing; leave out --split"),
        (("run", "--predictions", "none.json"), "--predictions none.json: no such file"),
    ],
)
def test_mistakes_are_one_line(vf: Vf, arguments: tuple[str, ...], said: str) -> None:
    Path("run").mkdir()
    Path("run/recipe.yaml").write_text("task: cls\n")
    outcome = vf("report", *arguments)
    assert (outcome.code, outcome.err) == (2, f"error: {said}\n")
