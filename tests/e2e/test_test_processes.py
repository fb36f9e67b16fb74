"""``vf run test`` in several processes: the same predictions in the same order, and the same numbers, as in one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

TEST = ("run", "test")


@pytest.fixture(scope="module")
def trained(lasting_toy: Any) -> Any:
    """A folder with a run of three steps."""
    code, _, err = lasting_toy.run("toy.yaml", "--out", "run", "--set", "train.length=3 steps")
    assert (code, err) == (0, "")
    return lasting_toy


def predictions(path: Path) -> Any:
    return json.loads(path.read_text())


def test_predictions_are_complete_and_in_order(trained: Any) -> None:
    numbers = {}
    for nproc in (1, 2):
        options = ("--out", f"{nproc}.json", "--json", "--nproc", str(nproc))
        code, out, err = trained.run("run", *options, command=TEST)
        assert (code, "wrote" in err, err.count("\n")) == (0, True, 2)
        numbers[nproc] = json.loads(out)
    one, two = (predictions(trained.folder / f"{nproc}.json") for nproc in (1, 2))
    assert [entry["id"] for entry in two["images"]] == [f"square-{i}" for i in range(21)]
    assert one == two
    assert numbers[1].pop("confidence") == pytest.approx(numbers[2].pop("confidence"))
    assert numbers[1] == numbers[2]
    code, out, _ = trained.run("--predictions", "2.json", "--json", command=TEST)
    assert json.loads(out)["accuracy"] == numbers[1]["accuracy"]
    assert list(trained.folder.glob(".vf-test-*")) == []


@pytest.mark.slow
def test_a_mistake_is_said_once(trained: Any) -> None:
    options = ("--nproc", "2", "--split", "train", "--set", "data.broken=3")
    code, _, err = trained.run("run", *options, "--out", "p.json", command=TEST)
    assert (code, err) == (2, "error: square 3: is broken\n")
    assert not (trained.folder / "p.json").exists()
