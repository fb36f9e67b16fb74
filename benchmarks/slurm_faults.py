"""What faults of a cluster cost, and what submitting does: jobs on a real Slurm inside this machine.

    python benchmarks/slurm_faults.py [--tries 3] [--seed 0] [--only REGEX] [--times 5]

Needs the cluster of tests/slurm/cluster/start. Each try trains the plugin of tests/toy, with dropout, batch norm, a
data worker and an average of the weights, in two processes on two virtual machines; something happens to it at a random
step. Prints a Markdown table: whether each job ended as it should, how often it was requeued, and whether a run that
went on to its end differs by a bit from the undisturbed one. Then the losses of two machines of two processes beside
those of one process, the time that submitting takes, and the time from typing the command to the first step, beside
that of the launcher local. Ends with exit code 1 if any try failed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import attrs
from faults_trial import different, outcome

SCRIPT = Path(__file__).parents[1] / "tests" / "slurm" / "conftest.py"
spec = importlib.util.spec_from_file_location("slurm_conftest", SCRIPT)
assert spec is not None
assert spec.loader is not None
cluster: Any = importlib.util.module_from_spec(spec)
sys.modules["slurm_conftest"] = cluster
spec.loader.exec_module(cluster)

STEPS = 48
LAYOUT = ("--nodes", "2", "--time", "15min", "--set", "train.save_every=4 steps")
SLOW = ("--set", "data.seconds=0.15")


@attrs.frozen
class Case:
    """A job that something is about to happen to."""

    slurm: Any
    job: str
    run: str
    random: Random


def told(name: str) -> Callable[[Case], None]:
    """Return what sends a signal to every process of a job."""
    return lambda case: command("scancel", f"--signal={name}", case.job)


def command(*words: str) -> None:
    """Run one of Slurm's commands."""
    subprocess.run(words, check=True, capture_output=True)


def pre_empt(case: Case) -> None:
    """Let a job of a higher partition need both machines for a moment."""
    command("sbatch", "-p", "urgent", "-N2", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1")


def kill_rank(case: Case) -> None:
    """Kill one process."""
    os.kill(case.slurm.tasks(case.job, case.random.randrange(2))[0], signal.SIGKILL)


def kill_slurmd(case: Case) -> None:
    """Kill the daemon of a machine; it is back once Slurm has noticed."""
    case.slurm.kill_slurmd(case.random.choice(["node1", "node2"]))
    case.slurm.until(lambda: int(case.slurm.facts(case.job)["Restarts"]) >= 1, case.job)
    case.slurm.repair()


def kill_controller(case: Case) -> None:
    """Kill slurmctld, tell the job to stop, and start slurmctld again some seconds later."""
    pids = [pid for rank in (0, 1) for pid in case.slurm.tasks(case.job, rank)[:1]]
    os.kill(int(Path("/run/slurm/slurmctld.pid").read_text()), signal.SIGKILL)
    for pid in pids:
        os.kill(pid, signal.SIGUSR2)
    time.sleep(5)
    case.slurm.repair()


def nothing(case: Case) -> None:
    """Let Slurm do it."""


@attrs.frozen
class Fault:
    """What happens, and how the job should end."""

    title: str
    strike: Callable[[Case], None]
    options: tuple[str, ...] = LAYOUT
    state: str = "COMPLETED"
    requeues: tuple[int, int] = (1, 1)
    """Least and most."""


SHORT = ("--nodes", "2", "--time", "1min", "--notice", "20s", "--set", "train.save_every=4 steps")
FAULTS = (
    Fault("limit of time", nothing, SHORT, requeues=(1, 20)),
    Fault("pre-emption by a higher partition", pre_empt, (*LAYOUT, "--partition", "preempt")),
    Fault("SIGTERM to every process", told("TERM")),
    Fault("scancel", lambda case: command("scancel", case.job), state="CANCELLED", requeues=(0, 0)),
    Fault("a rank killed", kill_rank, state="FAILED", requeues=(0, 0)),
    Fault("a rank raises", nothing, (*LAYOUT, "--set", "callbacks=[{name: bomb}]"), state="FAILED", requeues=(0, 0)),
    # Slurm takes up to a minute to notice, in which the job must not be over.
    Fault("slurmd of a machine killed", kill_slurmd, (*LAYOUT, "--set", "data.seconds=0.8")),
    Fault("slurmctld killed, notice while it is away", kill_controller),
)


@attrs.frozen
class Verdict:
    """How a try ended."""

    fault: Fault
    requeues: int = 0
    wrong_end: str = ""
    wrong_result: Sequence[str] = ()


def vf(*arguments: str) -> Any:
    """Run ``vf`` in a process of its own."""
    done = subprocess.run([sys.executable, "-m", "vf_cli", *arguments], capture_output=True, text=True, check=False)
    return cluster.Said(done.returncode, done.stdout, done.stderr)


def attempt(slurm: Any, fault: Fault, number: int, seed: int, calm: dict[str, Any]) -> Verdict:
    """Do one try."""
    random, run = Random(f"{seed}/{fault.title}/{number}"), f"run{number:03d}"
    job = slurm.submit("toy.yaml", *SLOW, *fault.options, "--out", run)
    if fault.strike is not nothing:
        slurm.begun(run, job, steps=random.randrange(2, STEPS // 2))
        slurm.hurry(run)  # what is left is not what is measured
        fault.strike(Case(slurm, job, run, random))
    facts = slurm.ended(job)
    restarts = int(facts["Restarts"])
    low, high = fault.requeues
    wrong_end = f"{facts['JobState']} after {restarts} requeues"
    if facts["JobState"] == fault.state and low <= restarts <= high:
        wrong_end = ""
    if fault.title == "a rank raises":  # every time again
        return Verdict(fault, restarts, wrong_end)
    if fault.state != "COMPLETED":
        again = vf("run", "train", "--resume", run, "--launcher", "slurm", "--nodes", "2", "--time", "15min")
        slurm.ended(re.findall(r"^job   (\d+)", again.out, re.MULTILINE)[0])
    return Verdict(fault, restarts, wrong_end, different(calm, outcome(slurm.folder / run)))


def faults(slurm: Any, options: argparse.Namespace) -> int:
    """Print the table of faults; return how many tries failed."""
    chosen = [fault for fault in FAULTS if re.search(options.only, fault.title)]
    job = slurm.submit("toy.yaml", *LAYOUT, "--out", "calm")
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)
    calm = outcome(slurm.folder / "calm")
    verdicts = []
    for fault in chosen:
        for _ in range(options.tries):
            verdicts.append(attempt(slurm, fault, len(verdicts), options.seed, calm))
            last = verdicts[-1]
            ended = last.wrong_end or f"{len(last.wrong_result)} differences {last.wrong_result[:4]}"
            print(f"[{len(verdicts)}] {fault.title}: {ended}", file=sys.stderr, flush=True)
    print("| fault | tried | should end | ended otherwise | requeues each | wrong results |\n|---|---|---|---|---|---|")
    for fault in chosen:
        own = [v for v in verdicts if v.fault is fault]
        counts = sorted({v.requeues for v in own})
        shown = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else str(counts[0])
        otherwise, wrong = sum(bool(v.wrong_end) for v in own), sum(bool(v.wrong_result) for v in own)
        print(f"| {fault.title} | {len(own)} | {fault.state} | {otherwise} | {shown} | {wrong} |")
    return sum(bool(v.wrong_end or v.wrong_result) for v in verdicts)


def losses(slurm: Any) -> None:
    """Print how far the losses of four processes are from those of one."""
    plain = ("model.plain=true", "train.length=24 steps", "train.batch_size=12", "train.accumulate=1")
    sets = [word for item in plain for word in ("--set", item)]
    job = slurm.submit("toy.yaml", *sets, "--out", "many", "--nodes", "2", "--tasks-per-node", "2", "--time", "15min")
    assert vf("run", "train", "toy.yaml", *sets, "--out", "one").code == 0
    assert slurm.ended(job)["JobState"] == "COMPLETED", slurm.logs(job)

    def of(run: str) -> list[float]:
        records = map(json.loads, (slurm.folder / run / "log.jsonl").read_text().splitlines())
        return [record["loss"] for record in records if record["kind"] == "train"]

    many, one = of("many"), of("one")
    assert len(many) == len(one) == 24
    worst = max(abs(a - b) for a, b in zip(many, one, strict=True))
    fell = f"losses from {one[0]:.4f} to {one[-1]:.4f}"
    print(f"\n2 machines × 2 processes (DDP, gloo) beside one process, {len(one)} steps, {fell}: apart by {worst:.1e}")


def seconds(*arguments: str) -> float:
    """Return how long a command takes where the toy is not installed, which would import torch as no plugin does."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "vf_cli", *arguments], check=True, capture_output=True, env=environment)
    return time.monotonic() - began


def first_step(slurm: Any, run: str, *options: str) -> float:
    """Return the seconds from typing the command to the first line of its log."""
    began = time.monotonic()
    train = [sys.executable, "-m", "vf_cli", "run", "train", "toy.yaml", "--out", run, *options]
    with subprocess.Popen(train, stdout=subprocess.DEVNULL) as process:
        log = slurm.folder / run / "log.jsonl"
        while not (log.is_file() and log.stat().st_size):
            time.sleep(0.01)
        found = time.monotonic() - began
    assert process.returncode == 0
    return found


def times(slurm: Any, count: int) -> None:
    """Print the table of times."""
    slurm_ = ("--launcher", "slurm", "--time", "15min")
    rows: dict[str, list[float]] = {}
    for number in range(count):
        detector = ("run", "train", "--task", "det", *slurm_)
        held = (*detector, "--additional", "hold=true", "--out", f"held{number}")
        rows.setdefault("`vf run train --task det --launcher slurm`, until it returns with the job id", []).append(
            seconds(*held)
        )
        fifty = ("--sweep", "seed=" + ",".join(map(str, range(50))))
        rows.setdefault("the same of a sweep of 50 runs: one array", []).append(
            seconds(*detector, *fifty, "--additional", "hold=true", "--out", f"sweep{number}")
        )
        shown = (*detector, "--print")
        rows.setdefault("the same with `--print`: all but the copy of the code and sbatch", []).append(seconds(*shown))
        rows.setdefault("from typing to the first step, local", []).append(first_step(slurm, f"local{number}"))
        on_cluster = first_step(slurm, f"slurm{number}", *slurm_)
        rows.setdefault("from typing to the first step, slurm", []).append(on_cluster)
        command("scancel", "--user", "root")
    print("\n| | median | least | most |\n|---|---|---|---|")
    for name, found in rows.items():
        print(f"| {name} | {statistics.median(found):.2f} s | {min(found):.2f} | {max(found):.2f} |")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tries", type=int, default=3, help="of each fault")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="faults whose title this regular expression finds")
    parser.add_argument("--no-faults", action="store_true", help="measure times alone")
    parser.add_argument("--times", type=int, default=5, help="measurements of each time; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        site, folder = Path(name) / "site", Path(name) / "work"
        cluster.install(site)
        folder.mkdir()
        (folder / "toy.yaml").write_text(cluster.RECIPE)
        os.environ |= {"PYTHONPATH": os.pathsep.join([str(cluster.TOY), str(site)]), "OMP_NUM_THREADS": "1"}
        os.chdir(folder)
        slurm = cluster.Slurm(folder, vf)
        failed = 0
        if not options.no_faults:
            failed = faults(slurm, options)
            losses(slurm)
        if options.times:
            times(slurm, options.times)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
