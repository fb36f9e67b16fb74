"""What Slurm says of a job."""

from __future__ import annotations

import re
import subprocess

import attrs

ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "NODE_FAIL"),
    *("PREEMPTED", "REVOKED"),
}
NEVER = ("PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "BadConstraints", "AssocMaxJobsLimit")
"""Reasons for which a job waits until somebody changes it or the cluster."""
PATIENCE = 20.0
"""Seconds that a question may take."""


@attrs.frozen
class State:
    """Of one job, from scontrol: right at once, without accounting, forgotten some minutes after its end."""

    name: str
    """PENDING, RUNNING …; empty: Slurm does not know the job (any more)."""
    reason: str = ""
    """Why it waits."""
    restarts: int = 0
    partition: str = ""

    @property
    def alive(self) -> bool:
        """Whether it waits, runs, or will run again: a job whose machine failed is requeued, and PENDING then."""
        return bool(self.name) and self.name not in ENDED


def state_of(job: str) -> State:
    """Ask the controller."""
    done = ask("scontrol", "-o", "show", "job", job)
    if done.returncode:
        return State("")
    words = dict(re.findall(r"\b(JobState|Reason|Restarts|Partition)=(\S+)", done.stdout))
    return State(
        words.get("JobState", ""), words.get("Reason", ""), int(words.get("Restarts", 0)), words.get("Partition", "")
    )


def limits_of(partition: str) -> str:
    """Return what a partition allows, in Slurm's words; empty where it does not say."""
    done = ask("scontrol", "-o", "show", "partition", partition)
    return ", ".join(re.findall(r"\b(?:MaxTime|MaxNodes|TotalNodes)=\S+", done.stdout))


def ask(*command: str) -> subprocess.CompletedProcess[str]:
    """Run one of Slurm's commands."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} does not answer")
