"""``python -m vf.worker JOB.json``: do a job in this process."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vf.console import Console, metric
from vf.engine.build import build_training
from vf.engine.saver import FOLDER
from vf.engine.state import State
from vf.engine.train import train
from vf.errors import VFError
from vf.launch import Job
from vf.measure import measure
from vf.predict import Predictor
from vf.recipes import Resolved, from_text
from vf.runs import find_weights


def work(job: Job) -> int:
    """Do the job and return an exit code; errors of the user are raised."""
    resolved = from_text(job.recipe, f"{job.folder}/recipe.yaml")
    with Console() as console:
        if job.action == "dry_run":
            _dry_run(resolved, job.batches, console)
        else:
            _train(resolved, job, console)
    return 0


def _train(resolved: Resolved, job: Job, console: Console) -> None:
    checkpoint = Path(job.checkpoint) if job.checkpoint else None
    training = build_training(resolved, Path(job.folder), console, checkpoint=checkpoint)
    state = train(training)
    _conclude(state, console)


def _conclude(state: State, console: Console) -> None:
    """Say how it ended and what to type next."""
    if state.stop:
        console.say(f"stopped at step {state.step}: {state.stop}")
    console.say()
    console.table([("metric", "last"), *((name, metric(value)) for name, value in state.metrics.items())])
    for rows in state.tables.values():
        console.table([(f"  {name}", metric(value)) for name, value in rows])
    console.say()
    name = "best" if state.best_step is not None else "last"
    if state.best_step is not None:
        console.say(f"best  {metric(state.best_value)} at step {state.best_step}: {state.folder / FOLDER / 'best'}")
    console.say("next  measure it, then use it:")
    console.say(f"      vf run test {state.folder}")
    console.say(f"      vf run infer {state.folder / FOLDER / name} IMAGE_OR_FOLDER")


def _dry_run(resolved: Resolved, batches: int, console: Console) -> None:
    """Go through every stage of a run in a folder that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="vf-dry-run-") as name:
        folder = Path(name)
        train(build_training(resolved, folder, console, steps=batches, limit_eval=batches))
        console.say(f"ok    trained {batches} steps, validated and saved")
        last = (folder / FOLDER / "last").resolve()
        again = build_training(resolved, folder, console, checkpoint=last, steps=2 * batches, limit_eval=batches)
        train(again)
        console.say(f"ok    resumed and trained {batches} steps more")
        weights = find_weights(str(folder / FOLDER / "last"))
        measure(weights, console, limit=batches, device=resolved.recipe.train.device)
        console.say("ok    tested the saved weights")
        predictor = Predictor.load(weights, device=resolved.recipe.train.device)
        sample = next(iter(again.eval_batches()))
        result = predictor(sample.images[0])
        result.draw().save(folder / "prediction.jpg")
        console.say("ok    predicted and drew one image")
    console.say("dry run done: everything works; nothing was kept")


def main() -> int:
    """Read the job file that is the only argument."""
    try:
        return work(Job.read(Path(sys.argv[1])))
    except VFError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr)  # noqa: T201 - the last word of a process
        return error.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
