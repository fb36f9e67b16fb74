"""``vf run train --sweep`` on this machine: one run after another."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any


def steps(run: Path) -> int:
    log = run / "log.jsonl"
    return sum(json.loads(line)["kind"] == "train" for line in log.read_text().splitlines()) if log.is_file() else 0


def test_a_run_that_fails_does_not_keep_the_others_from_being_done(toy: Any) -> None:
    code, out, err = toy.run("toy.yaml", "--sweep", "data.broken=3,-1", "--out", "many")
    assert code == 1
    assert "sweep 2 runs, one after another, in many\n\n[1/2] broken=3\nrun   many/broken=3\n" in out
    assert "\n\nfailed 1 of 2: broken=3\nnext  see which is best: vf runs compare many\n" in out
    assert out.endswith("next  go on with what is left (1): vf run train --resume many\n")
    assert err == "error: square 3: is broken\n"
    assert not (toy.folder / "many/broken=3/finished").exists()
    assert (toy.folder / "many/broken=-1/checkpoints/best/model.safetensors").is_file()
    _, out, _ = toy.run(".", command=("runs", "list"))
    assert out == "sweep many: 1 of 2 runs are finished\n"
    # What is there is neither overwritten nor begun twice.
    code, _, err = toy.run("toy.yaml", "--sweep", "data.broken=3,-1", "--out", "many")
    assert (code, err) == (
        2, "error: many: exists; choose another --out, or go on with 'vf run train --resume many'\n"
    )  # fmt: skip
    code, _, err = toy.run("toy.yaml", "--sweep", "data.broken=3,-1", "--resume", "many", "--set", "train.seed=3")
    assert code == 2
    assert err.startswith("error: --resume: many/broken=3 was trained with other values of train.seed; choose another")


def test_ctrl_c_ends_all_and_the_same_command_goes_on(toy: Any) -> None:
    command = ("toy.yaml", "--sweep", "seed=0,1", "--set", "data.seconds=0.02")
    process = toy.start(*command)
    first = toy.folder / "runs/toy-sweep-001/seed=0"
    while process.poll() is None and steps(first) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, err) == (130, "")
    assert "SIGINT" in out
    assert out.endswith("next  go on with what is left (2): vf run train --resume runs/toy-sweep-001\n")
    assert not (first.with_name("seed=1") / "log.jsonl").exists()
    done = steps(first)
    code, out, err = toy.run(*command, "--resume")
    assert (code, err) == (0, "")
    assert out.startswith("sweep runs/toy-sweep-001: 0 of 2 runs are finished\n")
    assert done < steps(first) == steps(first.with_name("seed=1")) == 12
    code, out, err = toy.run("--resume", "runs/toy-sweep-001")
    assert (code, out, err) == (
        0,
        "sweep runs/toy-sweep-001: 2 of 2 runs are finished\n"
        "next  see which is best: vf runs compare runs/toy-sweep-001\n",
        "",
    )


def test_mistakes_are_found_before_anything_starts(toy: Any) -> None:
    def refused(*arguments: str) -> str:
        code, out, err = toy.run(*arguments)
        assert (code, out) == (2, "")
        assert not (toy.folder / "runs").exists()
        return str(err)

    assert refused("toy.yaml", "--sweep", "seed=0,x", "--sweep", "model.widht=1") == (
        "error: --sweep model.widht=1: model.widht: unknown key; known: scale, plain, unused\n"
        "error: --sweep train.seed=x: train.seed: expected int, got str 'x'\n"
    )
    assert refused("toy.yaml", "--sweep", "seed=0", "--dry-run", "2") == (
        "error: --dry-run: tries one run; leave --sweep out, or --dry-run\n"
    )
    assert refused("toy.yaml", "--sweep", "seed=0", "--resume") == (
        "error: --resume: no sweep of toy.yaml in runs/ here; name one, or leave --resume out to start\n"
    )
    assert refused("toy.yaml", "--sweep", "seed=0", "--resume", "nowhere") == (
        "error: --resume nowhere: not the folder of a sweep; leave --sweep out, or name one\n"
    )
    assert refused("toy.yaml", "--sweep", "seed=0", "--max-parallel", "2").startswith("error: --max-parallel: belongs")
    assert refused("toy.yaml", "--sweep", "seed=0", "--print") == (
        "error: --print: the launcher local submits nothing; add --launcher slurm\n"
    )
