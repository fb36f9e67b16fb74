"""The batch script: what sbatch is asked for, how the processes start, and what follows their end."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from vf_slurm.launcher_configs import Slurm
from vf_slurm.units import clock

LOGS = "slurm"
"""Folder in a run folder: logs, the job as text, the code that it runs."""
CODE = "code"
FAILED = "failed"
EVENTS = "events.jsonl"
SIGNAL = "USR2"
HELD = "USR1,USR2,TERM"
REQUEUE = 75
"""Exit code of a process that saved and is to be started again; see vf.engine.signals."""

SBATCH = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "nodes": "nodes",
    "gpus_per_node": "gpus-per-node",
    "cpus_per_task": "cpus-per-task",
    "mem": "mem",
    "constraint": "constraint",
    "exclude": "exclude",
    "nodelist": "nodelist",
    "dependency": "dependency",
    "comment": "comment",
}
"""Keys of the launcher that are options of sbatch."""

PORT = (
    "import socket, sys; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); "
    's.bind(("", 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()'
)


@attrs.frozen(kw_only=True)
class Place:
    """Where a submission lies. Absolute paths: a script may start in another folder."""

    run: Path
    """The run folder, or that of a sweep."""
    elements: tuple[Path, ...] = ()
    """Run folders of a sweep, one for each element of an array; none: there is no array."""
    code: str = CODE
    """Folder in :attr:`logs` that the code is copied to."""
    port: int | None = None
    """For the processes to meet; nothing: a free one."""

    @property
    def logs(self) -> Path:
        """Where Slurm writes."""
        return self.run / LOGS

    @property
    def stem(self) -> str:
        """How the logs of a job begin, in sbatch's pattern."""
        return str(self.logs / ("%A_%a" if self.elements else "%j"))


def render(launcher: Slurm, place: Place) -> str:
    """Return the script."""
    return "\n".join(
        [
            "#!/bin/bash",
            *(_line(name, value) for name, value in options(launcher, place).items()),
            "",
            *_run(place),
            _HEAD,
            *_setup(launcher, place),
            "",
            "# Signals that come before the processes listen wait until they do.",
            f"hold=(env --block-signal={HELD})",
            f'"${{hold[@]}}" true 2>/dev/null || hold=(bash -c \'trap "" {HELD.replace(",", " ")}; exec "$@"\' bash)',
            "",
            "tell started 0",
            "code=0",
            _srun(launcher),
            'cat "$log/$start.srun" >&2',
            "",
            _TAIL.format(requeue=REQUEUE, most=launcher.max_requeues),
        ]
    )


def options(launcher: Slurm, place: Place) -> Mapping[str, Any]:
    """Return the options of sbatch: what vf needs, what was set, and nothing else."""
    out: dict[str, Any] = {"job-name": place.run.name}
    out |= {flag: getattr(launcher, key) for key, flag in SBATCH.items() if getattr(launcher, key) is not None}
    if launcher.time is not None:
        out["time"] = clock(launcher.time)
    if launcher.tasks > 1 or launcher.tasks_per_node:
        out["ntasks-per-node"] = launcher.tasks
    if place.elements:
        most = f"%{launcher.max_parallel}" if launcher.max_parallel else ""
        out["array"] = f"0-{len(place.elements) - 1}{most}"
    out["output"] = f"{place.stem}.log"
    out["open-mode"] = "append"
    out["signal"] = f"{SIGNAL}@{launcher.notice_seconds}"
    # Said in both cases: a site may have either as its default.
    out["requeue" if launcher.max_requeues else "no-requeue"] = True
    return out | dict(launcher.additional)


def python_of(launcher: Slurm) -> str:
    """Return the shell words that run Python; -P: a folder of that name beside the run is not vf."""
    python = launcher.python or shlex.quote(sys.executable)
    return f"{launcher.container} {python} -P" if launcher.container else f"{python} -P"


def _line(name: str, value: Any) -> str:
    return f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={shlex.quote(str(value))}"


def _run(place: Place) -> Iterator[str]:
    if not place.elements:
        yield f"run={shlex.quote(str(place.run))}"
        return
    yield "runs=("
    yield from (f"    {shlex.quote(str(run))}" for run in place.elements)
    yield ")"
    yield "run=${runs[$SLURM_ARRAY_TASK_ID]}"


def _setup(launcher: Slurm, place: Place) -> Iterator[str]:
    if launcher.setup:
        yield from ("", "# setup", *launcher.setup)
    yield ""
    code = shlex.quote(str(place.logs / place.code))
    yield f"export PYTHONPATH={code}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1"
    if place.port is not None:
        yield f"export MASTER_PORT={place.port}"
        return
    yield "# A free port of this machine, which rank 0 is on; bound until this script ends, for nobody else to get it."
    yield f"coproc port {{ exec {python_of(launcher)} -S -c {shlex.quote(PORT)}; }}"
    yield 'read -r MASTER_PORT <&"${port[0]}" && export MASTER_PORT'


def _srun(launcher: Slurm) -> str:
    words = ["srun", "--unbuffered", "--kill-on-bad-exit=1", "--export=ALL"]
    if launcher.cpus_per_task:  # since 22.05, srun does not take it from sbatch
        words.append(f"--cpus-per-task={launcher.cpus_per_task}")
    logs = '--output="$log/${job}_%t_log.out" --error="$log/${job}_%t_log.err"'
    command = f'"${{hold[@]}}" {python_of(launcher)} -m vf_slurm.task "$run/job.json"'
    more = f" {shlex.join(launcher.srun_args)}" if launcher.srun_args else ""
    return f'{shlex.join(words)} {logs}{more} \\\n    {command} 2>"$log/$start.srun" || code=$?'


_HEAD = f"""\
log=$run/{LOGS}
times=${{SLURM_RESTART_COUNT:-0}}
# An element of an array by both numbers: to Slurm, the first alone may mean all of them.
job=${{SLURM_ARRAY_JOB_ID:+${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID}}
job=${{job:-$SLURM_JOB_ID}}
start=$job.$times
tell() {{
    printf '{{"time": "%s", "job": "%s", "start": %d, "event": "%s", "code": %d}}\\n' \\
        "$(date -u +%FT%TZ)" "$job" "$times" "$1" "$2" >>"$log/{EVENTS}"
}}
trap : TERM  # outlive it, to see how the processes end"""

_TAIL = f"""\
if [ "$code" -eq {{requeue}} ]; then
    if [ "$times" -ge {{most}} ]; then
        echo "vf: not requeued: this was start $((times + 1)), and max_requeues is {{most}}"
    else
        for pause in 1 2 4 8 15 30; do
            # COMPLETING hides a scancel, which must stand; only the limit of time gives itself away.
            state=$(timeout 10 scontrol -o show job "$job" |
                sed -n 's/.* JobState=\\([A-Z_]*\\) Reason=\\([^ ]*\\).*/\\1 \\2/p')
            case $state in
                RUNNING\\ * | *\\ TimeLimit)  # nobody has decided otherwise
                    if timeout 10 scontrol requeue "$job"; then
                        echo "vf: saved and requeued ($((times + 1)) of at most {{most}} times)"
                        tell requeued {{requeue}}
                        exit {{requeue}}
                    fi ;;
                '') ;;  # no answer
                *)
                    echo "vf: not requeued: Slurm says $state"
                    break ;;
            esac
            sleep "$pause"
        done
    fi
elif [ "$code" -ne 0 ]; then
    # Who failed first: by its own word; else by Slurm's; else who only saw another one go.
    said=$(find "$log/{FAILED}" -name "$start.own.*" 2>/dev/null | sort | head -n 1)
    dead=$(grep -m 1 -E 'tasks? [0-9,-]+: ' "$log/$start.srun")
    saw=$(find "$log/{FAILED}" -name "$start.saw.*" 2>/dev/null | sort | head -n 1)
    if [ -n "$said" ]; then
        first=$(cat "$said")
    elif [ -n "$dead" ]; then
        first=${{{{dead#srun: error: }}}}
    elif [ -n "$saw" ]; then
        first=$(cat "$saw")
    fi
    echo "vf: failed first: ${{{{first:-unknown}}}}" | tee "$log/$start.error"
fi
tell ended "$code"
exit "$code"
"""
