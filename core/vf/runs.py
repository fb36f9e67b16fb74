"""Run folders: where a run writes, and how a run or checkpoint is found again. Free of torch."""

from __future__ import annotations

import re
from pathlib import Path

from vf.errors import CheckpointError, RunError

ROOT = Path("runs")
RECIPE = "recipe.yaml"
CHECKPOINTS = "checkpoints"
WEIGHTS = "model.safetensors"
JOB = "job.json"
TRAIN_BATCH = "train_batch.jpg"
LOG = "log.jsonl"
ENVIRONMENT = "environment.jsonl"
"""A line for each time that the run was started or resumed: when, by what, on what."""
FINISHED = "finished"
"""Is there when the training came to its end."""
EVENTS = "events.out.tfevents"
"""Beginning of TensorBoard's file names."""
WRITTEN_BY_ANY_RUN = {RECIPE, JOB, TRAIN_BATCH, LOG, ENVIRONMENT}


def new_run(out: str | None, name: str) -> Path:
    """Make a fresh run folder: ``out``, or ``runs/<name>-<number>`` with the next free number.

    Raises:
        RunError: ``out`` exists and holds something; a run is never overwritten.
    """
    if out is not None:
        folder = Path(out)
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunError(f"{out}: exists; choose another --out, or go on with 'vf run train --resume {out}'")
        return _make(folder)
    _make(ROOT)
    while True:
        folder = next_run(name)
        try:
            folder.mkdir()
        except FileExistsError:  # another process was faster
            continue
        except OSError as error:
            raise RunError(f"{folder}: cannot make the run folder: {error.strerror}") from None
        return folder


def next_run(name: str) -> Path:
    """Return the folder that a run of this name would get now."""
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-")
    number = 1 + max((int(p.name.rpartition("-")[2]) for p in ROOT.glob(f"{stem}-[0-9][0-9][0-9]*")), default=0)
    return ROOT / f"{stem}-{number:03d}"


def _make(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder}: cannot make the run folder: {error.strerror}") from None
    return folder


def newest_run() -> Path | None:
    """Return the run under ``runs/`` whose log or job was written last."""
    runs = [path for path in ROOT.glob("*") if is_run(path)]
    return max(runs, key=_touched, default=None)


def newest_of(task: str) -> Path:
    """Return the run under ``runs/`` that was touched last of those of a task that have weights.

    Raises:
        RunError: there is none.
    """
    own = re.compile(rf"^task: {re.escape(task)}$", re.MULTILINE)
    weights = [run / CHECKPOINTS / name / WEIGHTS for run in ROOT.glob("*") if is_run(run) for name in ("best", "last")]
    runs = {file.parents[2] for file in weights if file.is_file()}
    found = [run for run in runs if own.search((run / RECIPE).read_text(encoding="utf-8"))]
    if not found:
        raise RunError(
            f"--task {task}: no run of it in runs/ here has weights; 'vf run train --task {task}' makes one, or name a "
            "run or checkpoint in its place"
        )
    return max(found, key=_touched)


def _touched(run: Path) -> float:
    return max((run / name).stat().st_mtime for name in (JOB, LOG, RECIPE) if (run / name).is_file())


def discard_unstarted(folder: Path) -> None:
    """Remove a run that logged and saved nothing, so that the same command can be typed again."""
    files = list(folder.iterdir())
    known = all(file.name in WRITTEN_BY_ANY_RUN or file.name.startswith(EVENTS) for file in files)
    if known and not any(file.name == LOG and file.stat().st_size for file in files):
        for file in files:
            file.unlink()
        folder.rmdir()


def has_begun(folder: Path) -> bool:
    """Whether a run has logged anything."""
    return (folder / LOG).is_file() and (folder / LOG).stat().st_size > 0


def is_run(path: Path) -> bool:
    """Tell a run folder from other folders."""
    return path.is_dir() and (path / RECIPE).is_file()


def run_of(reference: str) -> Path:
    """Return the run folder that a run folder, checkpoint folder or weight file belongs to."""
    path = Path(reference)
    if not path.exists():
        raise RunError(f"{reference}: no such run or checkpoint")
    for folder in (path.resolve(), *path.resolve().parents[:3]):
        if is_run(folder):
            return folder
    raise RunError(f"{reference}: neither a run folder nor a checkpoint of one: no {RECIPE} in it or above it")


def find_weights(reference: str) -> Path:
    """Return the weight file of a run (its best, else its last checkpoint), a checkpoint folder or a file."""
    path = Path(reference)
    if path.is_file():
        if path.suffix != ".safetensors":
            raise CheckpointError(f"{reference}: expected a run folder, a checkpoint folder or {WEIGHTS}")
        return path
    if not path.exists():
        raise CheckpointError(f"{reference}: no such run, checkpoint or file")
    for candidate in (path, path / CHECKPOINTS / "best", path / CHECKPOINTS / "last"):
        if (candidate / WEIGHTS).is_file():
            return candidate / WEIGHTS
    raise CheckpointError(f"{reference}: holds no checkpoint: no {WEIGHTS} in it or in {CHECKPOINTS}/best or last")
