"""``vf slurm``: status, logs, cancel, requeue, doctor. Free of torch and submitit; the bodies import what they need."""

from __future__ import annotations

import sys

import click

RUNS = click.argument("runs", nargs=-1, metavar="RUN...")


@click.group()
def slurm() -> None:
    """Follow jobs on a Slurm cluster; see what it lacks."""


@slurm.command()
@RUNS
def status(runs: tuple[str, ...]) -> None:
    """Say what jobs of runs and sweeps do.

    Without RUN: those of all runs under runs/. RUN may be the id of a job, here and in the other commands. Slurm is
    asked once for all of them, and about none more often than every 30 seconds.
    """
    from vf_slurm.follow import show

    show(runs)


@slurm.command()
@click.argument("run")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends, over requeues.")
@click.option("--rank", type=click.IntRange(min=0), help="Only what this process wrote.")
@click.option("-n", "--lines", type=click.IntRange(min=0), metavar="N", help="Begin with the last N lines of each.")
def logs(run: str, follow: bool, rank: int | None, lines: int | None) -> None:
    """Print what the newest job of RUN wrote.

    That is: of the job as a whole, of its first process, and of the one that failed first.
    """
    from vf_slurm.tail import tail

    tail(run, follow=follow, rank=rank, lines=lines, out=sys.stdout)


@slurm.command()
@click.argument("runs", nargs=-1, metavar="RUN...", required=True)
def cancel(runs: tuple[str, ...]) -> None:
    """End jobs of runs and sweeps for good.

    Those that run save first, where Slurm's KillWait allows.
    """
    from vf_slurm.follow import cancel as end

    end(runs)


@slurm.command()
@click.argument("runs", nargs=-1, metavar="RUN...", required=True)
def requeue(runs: tuple[str, ...]) -> None:
    """Let jobs save, make room and wait again.

    One that failed or was cancelled starts again, from its newest checkpoint.
    """
    from vf_slurm.follow import requeue as move

    move(runs)


@slurm.command()
def doctor() -> None:
    """Say what will not work on this cluster.

    From its settings, with what to ask its administrator.
    """
    from vf_slurm.doctor import examine

    examine()
