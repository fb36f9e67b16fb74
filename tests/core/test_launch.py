"""Which machines take part, and a job as text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from vf.errors import RunError, SetupError
from vf.launch import Job, Nodes

TWO = {"NNODES": "2", "NODE_RANK": "1", "MASTER_ADDR": "gpu1", "MASTER_PORT": "29500"}
SAME = "the same address and port on every machine"
JOB = Job(action="train", folder="runs/é-001", recipe="task: toy\n", source="toy.yaml", checkpoint="c", batches=2)


def nodes(environment: dict[str, str], **given: Any) -> Nodes:
    options: dict[str, Any] = {"count": None, "rank": None, "address": "", "port": None, **given}
    return Nodes.of(**options, environment=environment)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (nodes({}), Nodes()),
        (nodes({"NNODES": "1", "NODE_RANK": "x", "PORT": "tcp://10.0.0.1:80"}), Nodes()),
        (nodes(TWO, count=1), Nodes()),
        (nodes(TWO), Nodes(count=2, rank=1, address="gpu1", port=29500)),
        (nodes({}, count=2, rank=0, address="a", port=7), Nodes(count=2, rank=0, address="a", port=7)),
        (nodes(TWO, count=3, rank=2, address="a", port=7), Nodes(count=3, rank=2, address="a", port=7)),
        (nodes(TWO, rank=0), Nodes(count=2, rank=0, address="gpu1", port=29500)),
        (nodes({**TWO, "PORT": "8"}).port, 29500),
        (nodes({**{k: v for k, v in TWO.items() if k != "MASTER_PORT"}, "PORT": "8"}).port, 8),
    ],
)
def test_options_go_before_the_environment(found: object, expected: object) -> None:
    assert found == expected


@pytest.mark.parametrize(
    ("environment", "given", "sentence"),
    [
        (
            {},
            {"count": 2},
            f"--nodes 2: set --node-rank, --master-addr, --master-port too, {SAME}",
        ),
        (
            {**TWO, "MASTER_ADDR": ""},
            {},
            "--nodes 2: set --master-addr too, the same address and port on every machine",
        ),
        (TWO, {"rank": 2}, "--node-rank 2: expected 0 to 1 for 2 machines"),
        ({"NNODES": "1:4"}, {}, "NNODES: expected a whole number, got '1:4'"),
        ({**TWO, "NODE_RANK": "-1"}, {}, "NODE_RANK: expected a whole number, got '-1'"),
        ({**TWO, "MASTER_PORT": "²"}, {}, "MASTER_PORT: expected a whole number, got '²'"),
    ],
)
def test_what_is_missing_is_named(environment: dict[str, str], given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SetupError) as error:
        nodes(environment, **given)
    assert error.value.problems == (sentence,)


def test_a_job_travels_as_text(tmp_path: Path) -> None:
    assert Job.parse(JOB.text(), "here") == JOB
    job = attrs.evolve(JOB, folder=str(tmp_path))
    assert Job.read(job.write()) == job
    assert (tmp_path / "recipe.yaml").read_text() == "task: toy\n"


def test_a_job_makes_its_folder(tmp_path: Path) -> None:
    made = attrs.evolve(JOB, folder="", out=str(tmp_path / "a/b")).made()
    assert made.folder == str(tmp_path / "a/b")
    assert Job.read(tmp_path / "a/b/job.json") == made
    with pytest.raises(RunError, match=r"^.*/a/b: exists; choose another --out, or go on with "):
        made.made()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("[1]", "vf.launch.Job() argument after ** must be a mapping, not list"),
        ('{"action": "train"}', "Job.__init__() missing 2 required keyword-only arguments: 'folder' and 'recipe'"),
        (json.dumps({**attrs.asdict(JOB), "x": 1}), "Job.__init__() got an unexpected keyword argument 'x'"),
    ],
)
def test_a_file_that_is_no_job_is_named(text: str, reason: str) -> None:
    with pytest.raises(RunError) as error:
        Job.parse(text, "job.json")
    assert error.value.problems == (f"job.json: not a job file of this vf: {reason}",)


def test_a_job_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path, sentence in [
        (tmp_path / "none.json", "no such job file"),
        (tmp_path, "cannot be read: Is a directory"),
    ]:
        with pytest.raises(RunError) as error:
            Job.read(path)
        assert error.value.problems == (f"{path}: {sentence}",)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(RunError, match=r"binary\.json: not a job file of this vf: Expecting value"):
        Job.read(tmp_path / "binary.json")
