"""What is said to sbatch and to users; none of it needs a cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import submitit

from vf.errors import ConfigError
from vf.launch import Job
from vf_slurm import snapshot
from vf_slurm.launcher_configs import Slurm
from vf_slurm.script import Place, options, render
from vf_slurm.states import State
from vf_slurm.submit import _refuse_to_go_back, _slurms_words
from vf_slurm.surroundings import cleaned, with_defaults
from vf_slurm.units import clock, minutes

Vf = Callable[..., Any]
RUN = Place(run=Path("/data/runs/a b"))
OURS = {
    "job-name": "a b",
    "output": "/data/runs/a b/slurm/%j.log",
    "open-mode": "append",
    "signal": "USR2@120",
    "requeue": True,
}
"""What is said to sbatch where the user says nothing."""


@pytest.mark.parametrize(
    ("text", "wanted", "slurms"),
    [
        ("4h", 240, "04:00:00"),
        ("90min", 90, "01:30:00"),
        ("90 m", 90, "01:30:00"),
        ("1.5h", 90, "01:30:00"),
        ("2d", 2880, "2-00:00:00"),
        ("30s", 0.5, "00:01:00"),  # Slurm counts in minutes
        ("30", 30, "00:30:00"),
        ("10:30", 10.5, "00:11:00"),
        ("1:02:03", 62.05, "01:03:00"),
        ("1-12", 2160, "1-12:00:00"),
        ("1-12:30", 2190, "1-12:30:00"),
        ("1-12:30:00", 2190, "1-12:30:00"),
    ],
)
def test_times(text: str, wanted: float, slurms: str) -> None:
    assert minutes(text) == pytest.approx(wanted)
    assert clock(text) == slurms


@pytest.mark.parametrize("text", ["", "4 hours", "h", "-1h", "1:2:3:4", "1-", "²"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time like '4h', '90min', '2d' or Slurm's '1-12:00:00', got "):
        minutes(text)


@pytest.mark.parametrize(
    ("keys", "more"),
    [
        ({}, {}),
        ({"partition": "dev", "account": "a", "qos": "q", "mem": "64G", "constraint": "a100|h100"}, None),
        ({"exclude": "n[1-2]", "nodelist": "n3", "dependency": "afterok:1", "comment": "c d", "nodes": 2}, None),
        ({"time": "4h"}, {"time": "04:00:00"}),
        ({"time": "4min"}, {"time": "00:04:00", "signal": "USR2@60"}),
        ({"time": "4min", "notice": "30s"}, {"time": "00:04:00", "signal": "USR2@30"}),
        ({"gpus_per_node": 8}, {"gpus-per-node": 8, "ntasks-per-node": 8}),
        ({"gpus_per_node": 0}, {"gpus-per-node": 0}),
        ({"gpus_per_node": 8, "tasks_per_node": 1}, {"gpus-per-node": 8, "ntasks-per-node": 1}),
        ({"cpus_per_task": 6}, {"cpus-per-task": 6}),
        ({"max_requeues": 0}, {"requeue": None, "no-requeue": True}),
        ({"additional": {"exclusive": True, "signal": "USR1@9"}}, {"exclusive": True, "signal": "USR1@9"}),
    ],
)
def test_only_what_was_set_is_said_to_sbatch(keys: dict[str, Any], more: dict[str, Any] | None) -> None:
    expected = {**OURS, **(keys if more is None else more)}
    assert options(Slurm(**keys), RUN) == {key: value for key, value in expected.items() if value is not None}


def test_the_script_is_shell_and_quotes_what_it_is_given() -> None:
    launcher = Slurm(
        setup=("module load 'x y'",), python="python3.12", container="apptainer exec i.sif", cpus_per_task=3
    )
    text = render(launcher, RUN)
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    lines = text.splitlines()
    assert lines[:2] == ["#!/bin/bash", "#SBATCH --job-name='a b'"]
    assert "run='/data/runs/a b'" in lines
    assert "module load 'x y'" in lines
    assert [line.split(" -c ")[0] for line in lines if line.startswith("coproc")] == [
        "coproc port { exec apptainer exec i.sif python3.12 -P -S"
    ]
    srun = next(line for line in lines if line.startswith("srun"))
    logs = '--output="$log/${job}_%t_log.out" --error="$log/${job}_%t_log.err" \\'
    assert srun == f"srun --unbuffered --kill-on-bad-exit=1 --export=ALL --cpus-per-task=3 {logs}"
    command = lines[lines.index(srun) + 1].strip()
    assert command.startswith('"${hold[@]}" apptainer exec i.sif python3.12 -P -m vf_slurm.task "$run/job.json"')
    assert "export MASTER_PORT=29500" in render(Slurm(), attrs.evolve(RUN, port=29500)).splitlines()


@pytest.mark.parametrize(
    ("environment", "keys", "expected", "said"),
    [
        ({}, {}, {}, ()),
        (
            {"GPUS": "16", "GPUS_PER_NODE": "8", "CPUS_PER_TASK": "5"},
            {},
            {"nodes": 2, "gpus_per_node": 8, "cpus_per_task": 5},
            (
                "note  GPUS_PER_NODE=8, GPUS=16, CPUS_PER_TASK=5 from the environment: gpus_per_node 8, nodes 2, "
                "cpus_per_task 5",
            ),
        ),
        ({"GPUS": "4"}, {}, {"nodes": 1, "gpus_per_node": 4}, None),
        ({"GPUS": "4", "GPUS_PER_NODE": "8"}, {}, {"nodes": 1, "gpus_per_node": 4}, None),
        ({"GPUS": "4", "GPUS_PER_NODE": "8"}, {"nodes": 3, "gpus_per_node": 2}, {}, ()),
        ({"CPUS_PER_TASK": "5"}, {"cpus_per_task": 1}, {}, ()),
        (
            {"SRUN_ARGS": "--mpi=none --label"},
            {},
            {"srun_args": ("--mpi=none", "--label")},
            ("note  SRUN_ARGS=--mpi=none --label from the environment: srun_args --mpi=none --label",),
        ),
        ({"SRUN_ARGS": "--label"}, {"srun_args": ("--quiet",)}, {}, ()),
        (
            {"MASTER_PORT": "29500"},
            {},
            {},
            ("note  MASTER_PORT=29500 from the environment, instead of a port that is free there",),
        ),
    ],
)
def test_names_that_other_suites_taught_are_taken_and_said(
    environment: dict[str, str], keys: dict[str, Any], expected: dict[str, Any], said: tuple[str, ...] | None
) -> None:
    found = with_defaults(Slurm(**keys), environment)
    assert found.launcher == attrs.evolve(Slurm(**keys), **expected)
    assert said is None or found.said == said
    assert found.port == (29500 if "MASTER_PORT" in environment else None)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"GPUS": "x"}, "GPUS: expected a whole number, got 'x'"),
        (
            {"GPUS": "12", "GPUS_PER_NODE": "8"},
            "GPUS: 12 cannot be shared out to machines with 8 each; make it a multiple",
        ),
        ({"CPUS_PER_TASK": "0"}, "launcher, with CPUS_PER_TASK from the environment: must be > 0, got 0"),
    ],
)
def test_an_environment_that_says_nonsense(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        with_defaults(Slurm(), environment)
    assert caught.value.problems == (sentence,)


def test_a_job_inherits_nothing_of_another_job_or_training(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SRUN_DEBUG": "3", "RANK": "1", "MASTER_ADDR": "h"}
    stays = {"SLURM_CONF": "/etc/slurm/slurm.conf", "SBATCH_ACCOUNT": "mine", "HOME_OF_DATA": "/data"}
    for name, value in {**inside, **stays}.items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    with cleaned():
        assert not set(inside) & set(os.environ)
        assert stays.items() <= os.environ.items()
    assert dict(os.environ) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--time", "4x"),
            "--time 4x: launcher.time: must be a time like '4h', '90min', '2d' or Slurm's '1-12:00:00', got '4x'",
        ),
        (("--time", "0min"), "--time 0min: launcher.time: must be longer than nothing, got '0min'"),
        (("--mem", "lots"), "--mem lots: launcher.mem: must be a size like '64G' or '900M', got 'lots'"),
        (("--gpus-per-node", "two"), "--gpus-per-node two: launcher.gpus_per_node: expected int, got str 'two'"),
        (("--additional", "exclusive"), "--additional exclusive: expected KEY=VALUE"),
        (
            ("--gpus-per-node", "2", "--tasks-per-node", "4"),
            "the launcher: launcher: tasks_per_node: each process takes a GPU of its own, and 4 is more than "
            "gpus_per_node 2; make it 2",
        ),
        (
            ("--additional", "array=0-3"),
            "the launcher: launcher: additional: array is what vf itself says to Slurm; leave it out",
        ),
        (("--time", "1h", "--notice", "2h"), "the launcher: launcher: notice: must be shorter than time 1h, got '2h'"),
        (
            ("--nproc", "2"),
            "--nproc: belongs to the launcher local, and this run's is slurm; add --launcher local",
        ),
    ],
)
def test_mistakes_of_one_line(vf_here: Vf, arguments: tuple[str, ...], sentence: str) -> None:
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {sentence}\n")
    assert not Path("runs").exists()


def test_what_takes_one_process_gets_one(vf_here: Vf) -> None:
    said = vf_here("run", "infer", "run", "images", "--launcher", "slurm", "--gpus-per-node", "8", "--print")
    assert (said.code, said.err) == (0, "")
    assert "#SBATCH --ntasks-per-node=1" in said.out.splitlines()
    said = vf_here("run", "infer", "run", "images", "--launcher", "slurm", "--tasks-per-node", "2")
    assert (said.code, said.err) == (
        2,
        "error: infer: takes one process; leave --nodes and --tasks-per-node out\n",
    )


def test_a_flag_of_another_launcher(vf_here: Vf) -> None:
    said = vf_here("run", "train", "toy.yaml", "--partition", "dev")
    assert (said.code, said.err) == (
        2,
        "error: --partition: belongs to the launcher slurm, and this run's is local; add --launcher slurm\n",
    )
    said = vf_here("run", "train", "toy.yaml", "--print")
    assert (said.code, said.err) == (2, "error: --print: the launcher local submits nothing; add --launcher slurm\n")


def test_print_shows_the_script_and_makes_nothing(vf_here: Vf) -> None:
    flags = ("--nodes", "2", "--gpus-per-node", "8", "--partition", "dev", "--time", "4h", "--setup", "ulimit -n 9999")
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm", *flags, "--print")
    assert (said.code, said.err) == (0, "")
    asked = [line.removeprefix("#SBATCH --") for line in said.out.splitlines() if line.startswith("#SBATCH")]
    logs = Path("runs/toy-001/slurm").resolve()
    assert asked == [
        *("job-name=toy-001", "partition=dev", "nodes=2", "gpus-per-node=8", "time=04:00:00", "ntasks-per-node=8"),
        *(f"output={logs}/%j.log", "open-mode=append", "signal=USR2@120", "requeue"),
    ]
    assert "ulimit -n 9999" in said.out.splitlines()
    assert not Path("runs").exists()
    # The recipe may say the same; a flag goes before it.
    Path("slurm.yaml").write_text("extends: toy.yaml\nlauncher: {name: slurm, nodes: 2, partition: dev, time: 4h}\n")
    said = vf_here("run", "train", "slurm.yaml", "--print", "--partition", "long")
    asked = [line for line in said.out.splitlines() if line.startswith("#SBATCH")]
    assert {"#SBATCH --partition=long", "#SBATCH --nodes=2", "#SBATCH --time=04:00:00"} <= set(asked)


def test_no_slurm_here_is_one_line_where_submitit_runs_the_job_here(
    vf_here: Vf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("srun") is None
    assert submitit.AutoExecutor(tmp_path / "auto").cluster == "local"  # the trap
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm")
    assert (said.code, said.out, said.err) == (
        3,
        "",
        "error: --launcher slurm: no sbatch, srun, scontrol, squeue on PATH; submit from a login node of the cluster, "
        "or leave --launcher out to run here\n",
    )
    assert not Path("runs").exists()


def test_inside_a_step_nothing_is_submitted(vf_here: Vf, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SLURM_STEP_NUM_TASKS": "1",
        "SLURM_PROCID": "0",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
    }.items():
        monkeypatch.setenv(name, value)
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm")
    assert (said.code, said.err) == (
        3,
        "error: --launcher slurm: this is a task of srun (step 7.0) already; leave --launcher out to work in it, or "
        "submit from outside\n",
    )


@pytest.fixture
def fake_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands of Slurm that take every job, and say that nobody knows it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, text in {
        "sbatch": "echo Submitted batch job 7",
        "srun": "true",
        "squeue": "true",
        "scontrol": "exit 1",
    }.items():
        (tools / name).write_text(f"#!/bin/sh\n{text}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tools


def test_a_folder_that_cannot_be_made_is_one_line(vf_here: Vf, fake_tools: Path) -> None:
    Path("file").touch()
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm", "--out", "file/run")
    assert (said.code, said.out, said.err) == (
        2, "", "error: file/run: cannot make the run folder: Not a directory\n"
    )  # fmt: skip


def test_a_controller_that_does_not_answer_is_the_machine_s(vf_here: Vf, fake_tools: Path) -> None:
    (fake_tools / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect "
        "failure)' >&2\nexit 1\n"
    )
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm", "--out", "run")
    assert (said.code, said.out, said.err) == (
        3, "", "error: Slurm does not take the job: Unable to contact slurm controller (connect failure)\n"
    )  # fmt: skip
    assert not Path("run").exists()


def test_what_is_written_down_of_a_submission(vf_here: Vf, fake_tools: Path) -> None:
    said = vf_here("run", "train", "toy.yaml", "--launcher", "slurm", "--nodes", "2", "--time", "1h", "--out", "run")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "job   7: 2 nodes, 1 process on each; requeued at most 100 times\n"
        "run   run\n"
        "log   run/slurm/7_0_log.out, of the job as a whole run/slurm/7.log\n"
        "next  vf slurm status run, vf slurm logs -f run, vf slurm cancel run\n"
    )
    job = Job.read(Path("run/job.json"))
    assert (job.action, job.checkpoint, job.folder) == ("train", "newest", str(Path("run").resolve()))
    assert job.recipe == Path("run/recipe.yaml").read_text()
    [noted] = map(json.loads, Path("run/slurm/jobs.jsonl").read_text().splitlines())
    assert (noted["job"], noted["action"], noted["script"]) == ("7", "train", "7_submission.sh")
    assert noted["launcher"] == {"nodes": 2, "time": "1h", "max_requeues": 100}
    assert Path("run/slurm/7_submission.sh").read_text().startswith("#!/bin/bash\n")
    assert not list(Path("run").rglob("*.pkl"))
    assert not list(Path("run").rglob(".submission*"))


def test_the_code_is_copied_with_its_commit_and_what_differs_from_it(folder: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    git = ("git", "-C", str(site), "-c", "user.name=n", "-c", "user.email=e@x")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "vf_bomb.py"], check=True)
    subprocess.run([*git, "commit", "-qm", "c"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    import vf.plugins

    assert "bomb" in vf.plugins.plugins().names("callback")
    (site / "vf_bomb.py").write_text((site / "vf_bomb.py").read_text() + "# edited\n")
    found = snapshot.take(folder / "code")
    assert found["copied"]["vf_bomb"] == {
        "from": str(site / "vf_bomb.py"), "checkout": str(site), "commit": commit, "changed": True
    }  # fmt: skip
    assert (folder / "code/vf_bomb.py").read_text().endswith("# edited\n")
    assert any("+# edited" in path.read_text(errors="replace") for path in folder.glob("code*.diff"))
    assert found["versions"]["submitit"] == submitit.__version__
    assert (folder / "code/vf_toy.py").is_file()
    assert not list((folder / "code").rglob("__pycache__"))


def test_a_requeued_job_must_not_jump_to_checkpoints_that_were_left_behind(tmp_path: Path) -> None:
    for step in ("step_00000300", "step_00000600"):
        (tmp_path / "checkpoints" / step).mkdir(parents=True)
    job = Job(action="train", folder=str(tmp_path), recipe="", checkpoint=f"{tmp_path}/checkpoints/step_00000600")
    _refuse_to_go_back(job, tmp_path)
    job = attrs.evolve(job, checkpoint=f"{tmp_path}/checkpoints/step_00000300")
    with pytest.raises(
        Exception, match="step_00000600 is newer, and a requeued job goes on from the newest; move what"
    ):
        _refuse_to_go_back(job, tmp_path)


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("sbatch: error: a\nsbatch: error: Batch job submission failed: b\n", "b; a"),
        ("sbatch: error: a\nsbatch: error: a\n", "a"),
        ("", "sbatch failed and said nothing"),
    ],
)
def test_slurms_words(said: str, line: str) -> None:
    assert _slurms_words(said) == line


def test_a_job_whose_machine_failed_is_alive_once_slurm_has_requeued_it() -> None:
    assert [State(name).alive for name in ("", "NODE_FAIL", "PENDING", "COMPLETING", "RUNNING", "CANCELLED")] == [
        *(False, False, True, True, True, False)
    ]
