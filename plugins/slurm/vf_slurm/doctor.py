"""``vf slurm doctor``: what the settings of a cluster mean for runs, and what to ask its administrator."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs

from vf.console import Console
from vf.errors import SetupError
from vf_slurm.jobs import words_of
from vf_slurm.script import REQUEUE
from vf_slurm.states import ask
from vf_slurm.surroundings import TOOLS

Settings = Mapping[str, str]
ENOUGH = 30
"""Seconds that a save should have."""
CREDENTIAL = 120
"""Seconds that a requeued job waits where nothing says otherwise: the life of a credential."""


@attrs.frozen
class Finding:
    """One line."""

    level: str
    """ok, note or warning."""
    text: str
    cure: str = ""
    """What to ask the administrator, or to type."""

    def line(self) -> str:
        """Return it for people."""
        return f"{self.level.ljust(7)}  {self.text}" + (f"; {self.cure}" if self.cure else "")


@attrs.frozen
class Cluster:
    """What scontrol tells of a cluster."""

    settings: Settings
    partitions: Sequence[Settings] = ()
    missing: Sequence[str] = ()
    """Commands that are not on PATH."""

    def get(self, name: str, default: str = "") -> str:
        """Return a setting; ``(null)`` is nothing."""
        value = self.settings.get(name, default)
        return default if value == "(null)" else value

    def number(self, name: str, default: int = 0) -> int:
        """Return the number that a setting begins with, as in ``30 sec``."""
        found = re.match(r"\d+", self.get(name))
        return int(found[0]) if found else default


def examine() -> None:
    """Print what :func:`findings` has to say of this cluster.

    Raises:
        SetupError: there is no Slurm here, or its controller does not answer.
    """
    missing = [tool for tool in (*TOOLS, "scancel", "sacct") if shutil.which(tool) is None]
    if "scontrol" in missing:
        raise SetupError(f"vf slurm: no {', '.join(missing)} on PATH; type it on a login node")
    done = ask("scontrol", "show", "config")
    if done.returncode:
        raise SetupError(f"scontrol: {words_of(done.stderr)}")
    parts = ask("scontrol", "-o", "show", "partition").stdout.splitlines()
    cluster = Cluster(settings_in(done.stdout), [_words(line) for line in parts if line.strip()], missing)
    with Console(sys.stdout) as console:
        for finding in findings(cluster):
            console.say(finding.line())


def settings_in(text: str) -> Settings:
    """Read ``scontrol show config``."""
    return dict(re.findall(r"^(\w+)\s*= (.*?)\s*$", text, re.MULTILINE))


def _words(line: str) -> Settings:
    return dict(re.findall(r"(\w+)=(\S+)", line))


def findings(cluster: Cluster) -> list[Finding]:
    """Return what there is to say, in the order in which a job lives."""
    return [finding for check in CHECKS for finding in check(cluster)]


def _tools(cluster: Cluster) -> Iterator[Finding]:
    version = cluster.get("SLURM_VERSION", "of an unknown version")
    yield Finding("ok", f"Slurm {version}, cluster {cluster.get('ClusterName', '?')}")
    if missing := [tool for tool in cluster.missing if tool != "sacct"]:
        yield Finding("warning", f"no {', '.join(missing)} on PATH: jobs cannot be submitted or ended from here")


def _requeues(cluster: Cluster) -> Iterator[Finding]:
    if cluster.get("JobRequeue", "1") == "0":
        yield Finding("note", "JobRequeue=0: jobs are not requeued unless they say so; those of vf do (--requeue)")
    else:
        yield Finding("ok", "jobs are requeued: after a save by themselves, after the loss of a machine by Slurm")
    for name, what in (("RequeueExit", "requeue"), ("RequeueExitHold", "hold")):
        if str(REQUEUE) in _codes(cluster.get(name)):
            yield Finding(
                "warning",
                f"{name} holds {REQUEUE}, with which vf ends a job that it has requeued: Slurm would {what} it too",
                f"ask to take {REQUEUE} out of {name}",
            )
    found = re.search(r"cred_expire=(\d+)", cluster.get("AuthInfo"))
    wait = int(found[1]) if found else CREDENTIAL
    yield Finding("note", f"a requeued job waits {wait} s at least (AuthInfo: cred_expire)")


def _codes(text: str) -> set[str]:
    """Read ``1,70-80`` as the numbers that it names."""
    out: set[str] = set()
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        out |= {str(number) for number in range(int(first), int(last or first) + 1)}
    return out


def _preemption(cluster: Cluster) -> Iterator[Finding]:
    if cluster.get("PreemptType", "preempt/none") == "preempt/none":
        yield Finding("ok", "jobs are not pre-empted (PreemptType=preempt/none)")
        return
    notice = "send_user_signal" in cluster.get("PreemptParameters") + cluster.get("SlurmctldParameters")
    if notice:
        yield Finding("ok", "a pre-empted job is told by the signal that it asked for (preempt_send_user_signal)")
    else:
        yield Finding(
            "note",
            "a pre-empted job is told by SIGTERM alone; vf saves on it too, and Slurm requeues the job",
            "with SlurmctldParameters=preempt_send_user_signal the job is requeued as soon as it has saved",
        )
    partitions = cluster.partitions or [{"PartitionName": "all", "PreemptMode": cluster.get("PreemptMode")}]
    for partition in partitions:
        yield from _preempted(partition, cluster)


def _preempted(partition: Settings, cluster: Cluster) -> Iterator[Finding]:
    name, mode = partition.get("PartitionName", "?"), partition.get("PreemptMode", "OFF")
    grace, wait = partition.get("GraceTime", "0"), cluster.number("KillWait", ENOUGH)
    if "CANCEL" in mode:
        yield Finding(
            "warning",
            f"partition {name}: what is pre-empted is cancelled (PreemptMode={mode}): what saves in time is lost to "
            "the queue, and must be submitted again with 'vf run train --resume RUN --launcher slurm'",
            "ask for PreemptMode=REQUEUE",
        )
    elif "REQUEUE" in mode and int(grace) + wait < ENOUGH:
        yield Finding(
            "warning",
            f"partition {name}: a pre-empted job has {int(grace) + wait} s to save (GraceTime and KillWait)",
            f"ask for GraceTime={2 * ENOUGH}, or save often: train.save_minutes",
        )
    elif "SUSPEND" in mode:
        yield Finding(
            "note", f"partition {name}: what is pre-empted is suspended, and keeps its memory (PreemptMode={mode})"
        )


def _kill_wait(cluster: Cluster) -> Iterator[Finding]:
    wait = cluster.number("KillWait", ENOUGH)
    text = f"after 'vf slurm cancel' a job has {wait} s to save (KillWait)"
    if wait < ENOUGH:
        yield Finding("warning", text, f"ask for KillWait={ENOUGH}, or save often: train.save_minutes")
    else:
        yield Finding("ok", text)


def _machines(cluster: Cluster) -> Iterator[Finding]:
    timeout = cluster.number("SlurmdTimeout", 300)
    if timeout == 0:
        yield Finding(
            "warning",
            "SlurmdTimeout=0: Slurm never takes a silent machine for lost, and its jobs never go on elsewhere",
            "ask for SlurmdTimeout=300",
        )
    else:
        yield Finding("note", f"a machine that falls silent is given up after {timeout} s (SlurmdTimeout)")
    if "gpu" not in cluster.get("GresTypes"):
        yield Finding("note", "Slurm knows of no GPUs (GresTypes): --gpus-per-node is refused")


def _accounting(cluster: Cluster) -> Iterator[Finding]:
    age = cluster.number("MinJobAge", 300)
    kind = cluster.get("AccountingStorageType", "accounting_storage/none")
    if kind.endswith("none") or "sacct" in cluster.missing:
        why = "sacct is not on PATH" if "sacct" in cluster.missing else f"AccountingStorageType={kind}"
        yield Finding(
            "warning",
            f"no accounting ({why}): Slurm forgets a job {age} s after its end; 'vf slurm status' then tells what the "
            "run folder says",
            "ask for slurmdbd",
        )
    else:
        yield Finding("ok", "sacct tells of jobs that are over")


def _sweeps(cluster: Cluster) -> Iterator[Finding]:
    most = cluster.number("MaxArraySize", 1001)
    if most <= 1:
        yield Finding("warning", f"MaxArraySize={most}: there are no arrays of jobs, so no --sweep", "ask for 1001")
    else:
        yield Finding("ok", f"a sweep may have {most - 1} runs (MaxArraySize)")


CHECKS: tuple[Callable[[Cluster], Iterator[Finding]], ...] = (
    *(_tools, _requeues, _preemption, _kill_wait, _machines, _accounting, _sweeps),
)
