"""``python -m vf.worker JOB.json``: do a job in this process, alone or as one of many."""

from __future__ import annotations

import sys
import tempfile
from io import StringIO
from pathlib import Path

import torch

from vf.console import Console, metric
from vf.data.loader import usable_cores
from vf.engine import signals
from vf.engine.build import Training, build_training
from vf.engine.checkpoint import newest_good
from vf.engine.precision import pick_device
from vf.engine.ranks import Ranks, naming_lost_contact, open_ranks
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import SetupError, VFError
from vf.infer import infer
from vf.launch import NEWEST, ONE_PROCESS, Inference, Job, Measurement
from vf.measure import measure, report
from vf.orders import BenchOrder, ExportOrder
from vf.predict import Predictor
from vf.recipes import Resolved, from_text
from vf.runs import CHECKPOINTS, FINISHED, find_weights, new_run
from vf.world import World, find_world

PATIENCE = 1800.0
"""Seconds that a process of a test waits for the others."""


def work(job: Job) -> int:
    """Do the job as the process that the environment says this is; return an exit code, raise errors of the user."""
    world = find_world()
    if job.action == "test":
        return _test(Measurement(**job.measurement), world)
    if job.action in ONE_PROCESS:
        if world.size > 1:
            raise SetupError(f"{job.action}: takes one process, got {world}")
        return {"infer": _infer, "export": _export, "bench": _bench}[job.action](job)
    resolved = from_text(job.recipe, f"{job.folder}/recipe.yaml")
    device = pick_device(resolved.recipe.train.device, local_rank=world.local_rank)
    _share_cores(world, device)
    # A little more patience than the watchdog's, who can say more.
    timeout = resolved.recipe.train.stall_timeout + 60
    stream = sys.stdout if world.first else StringIO()
    with open_ranks(world, device, timeout=timeout) as ranks, Console(stream) as console:
        if job.action == "dry_run":
            _dry_run(resolved, job.batches, console, ranks)
            return 0
        job = job if job.folder else ranks.from_first(job.made)
        return _train(resolved, job, console, ranks)


def _share_cores(world: World, device: torch.device) -> None:
    if world.size > 1 and device.type == "cpu":
        torch.set_num_threads(max(1, usable_cores() // world.local_size))


def _test(asked: Measurement, world: World) -> int:
    device = pick_device(asked.device, local_rank=world.local_rank)
    _share_cores(world, device)
    stream = (sys.stderr if asked.as_json else sys.stdout) if world.first else StringIO()
    with open_ranks(world, device, timeout=PATIENCE) as ranks, Console(stream) as console:
        with naming_lost_contact(ranks, lambda: "testing"):
            measured = measure(asked, console, ranks)
        if world.first:
            report(measured, asked, console)
    return 0


def _export(job: Job) -> int:
    from vf.export.write import as_json, export

    asked = ExportOrder(**job.order)
    with Console(sys.stderr if asked.as_json else sys.stdout) as console:
        made = export(asked, console)
    if asked.as_json:
        Console().say(as_json(made))
    return 0


def _bench(job: Job) -> int:
    from vf.bench.run import as_json, bench

    asked = BenchOrder(**job.order)
    with Console(sys.stderr if asked.as_json else sys.stdout) as console:
        figures = bench(asked, console)
    if asked.as_json:
        Console().say(as_json(figures))
    return 0


def _infer(job: Job) -> int:
    asked = Inference(**job.inference)
    with Console(sys.stderr if asked.jsonl == "-" else sys.stdout) as console:
        infer(asked, console, lambda: Path(job.folder) if job.folder else new_run(job.out or None, job.name))
    return 0


def _train(resolved: Resolved, job: Job, console: Console, ranks: Ranks) -> int:
    checkpoint = Path(job.checkpoint) if job.checkpoint else None
    if job.checkpoint == NEWEST:
        checkpoint = ranks.from_first(lambda: newest_good(Path(job.folder) / CHECKPOINTS, console.say))
    training = _built(ranks, resolved, Path(job.folder), console, checkpoint=checkpoint)
    end = Path(job.folder) / FINISHED
    if ranks.world.first:
        end.unlink(missing_ok=True)  # it may have been moved
    state = train(training)
    if state.exit_code:
        signals.ignore()
    if ranks.world.first:
        if not state.exit_code:
            end.touch()
        _conclude(state, console)
    return state.exit_code


def _built(ranks: Ranks, resolved: Resolved, folder: Path, console: Console, **options: object) -> Training:
    """Build in every process; where it fails in any, all end, and each error is said once."""
    made: list[Training] = []
    ranks.together(
        lambda: made.append(build_training(resolved, folder, console, ranks=ranks, **options))  # type: ignore[arg-type]
    )
    return made[0]


def _conclude(state: State, console: Console) -> None:
    """Say how it ended and what to type next."""
    if state.stop:
        console.say(f"stopped at step {state.step}: {state.stop}")
    if state.exit_code:
        if state.step:
            console.say(f"next  go on from there: vf run train --resume {state.folder}")
        return
    console.say()
    console.table([("metric", "last"), *((name, metric(value)) for name, value in state.metrics.items())])
    for rows in state.tables.values():
        console.table([(f"  {name}", metric(value)) for name, value in rows])
    console.say()
    name = "best" if state.best_step is not None else "last"
    if state.best_step is not None:
        console.say(
            f"best  {metric(state.best_value)} at step {state.best_step}: {state.folder / CHECKPOINTS / 'best'}"
        )
    console.say("next  measure it, then use it:")
    console.say(f"      vf run test {state.folder}")
    console.say(f"      vf run infer {state.folder / CHECKPOINTS / name} IMAGE_OR_FOLDER")


def _dry_run(resolved: Resolved, batches: int, console: Console, ranks: Ranks) -> None:
    """Go through every stage of a run in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="vf-dry-run-") as own:
        folder = Path(ranks.from_first(lambda: own))
        train(_built(ranks, resolved, folder, console, steps=batches, limit_eval=batches))
        console.say(f"ok    trained {batches} steps, validated and saved")
        last = (folder / CHECKPOINTS / "last").resolve()
        again = _built(ranks, resolved, folder, console, checkpoint=last, steps=2 * batches, limit_eval=batches)
        train(again)
        console.say(f"ok    resumed and trained {batches} steps more")
        if ranks.world.first:
            _dry_use(resolved, batches, folder, console, again)
        ranks.barrier()
    console.say("dry run done: everything works; nothing was kept")


def _dry_use(resolved: Resolved, batches: int, folder: Path, console: Console, training: Training) -> None:
    weights = find_weights(str(folder / CHECKPOINTS / "last"))
    measure(Measurement(checkpoint=str(weights), limit=batches, device=resolved.recipe.train.device), console)
    console.say("ok    tested the saved weights")
    predictor = Predictor.load(weights, device=resolved.recipe.train.device)
    sample = next(iter(training.eval_batches()))
    result = predictor(sample.images[0])
    result.draw().save(folder / "prediction.jpg")
    console.say("ok    predicted and drew one image")


def guarded(job: Job) -> int:
    """Do the job in a process of its own: errors of the user become lines and an exit code."""
    try:
        return work(job)
    except VFError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - the last word of a process
        return error.exit_code
    except KeyboardInterrupt:
        return signals.INTERRUPTED


def main() -> int:
    """Read the job file that is the only argument."""
    return guarded(Job.read(Path(sys.argv[1])))


if __name__ == "__main__":
    raise SystemExit(main())
