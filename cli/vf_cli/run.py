"""``vf run``: train, test, infer."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from vf.errors import ConfigError, VFError

SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key; may be repeated.")
DEVICE = click.option("--device", default=None, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")


@click.group()
def run() -> None:
    """Train, test and use models."""


@run.command()
@click.argument("recipe", required=False)
@click.option("--task", metavar="TASK", help="Run the task's default recipe: det, seg, cls, ocr …")
@click.option("--data", metavar="PATH", help="Train on this folder; its format is recognised.")
@SET
@click.option("--out", metavar="DIR", help="Run folder, must not exist.  [default: runs/NAME-NUMBER]")
@click.option("--resume", metavar="RUN", help="Go on with a run, or from one of its checkpoints.")
@click.option("--dry-run", type=click.IntRange(min=1), metavar="N", help="Try every stage on N batches, keep nothing.")
@DEVICE
def train(
    recipe: str | None,
    task: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    out: str | None,
    resume: str | None,
    dry_run: int | None,
    device: str | None,
) -> None:
    """Train RECIPE (see 'vf list recipes'), or the default of a task."""
    if device is not None:
        overrides = (*overrides, f"train.device={device}")
    if resume is not None:
        given = {"a recipe": recipe, "--task": task, "--data": data, "--set": overrides, "--out": out}
        _refuse_with_resume([name for name, value in given.items() if value])
        sys.exit(_resume(resume))
    from vf.launch import Job
    from vf.recipes import resolve
    from vf.runs import discard_unstarted, new_run

    resolved = resolve(recipe, task=task, data=data, overrides=overrides)
    if dry_run is not None:
        job = Job(action="dry_run", folder="", recipe=resolved.yaml(), source=resolved.source, batches=dry_run)
        sys.exit(_launch(resolved, job))
    folder = new_run(out, _run_name(resolved.source))
    job = Job(action="train", folder=str(folder), recipe=resolved.yaml(), source=resolved.source)
    job.write()
    try:
        code = _launch(resolved, job)
    except (VFError, KeyboardInterrupt):
        discard_unstarted(folder)
        raise
    sys.exit(code)


def _run_name(source: str) -> str:
    return Path(source).stem if source.endswith((".yaml", ".yml")) else source


def _refuse_with_resume(given: list[str]) -> None:
    if given:
        raise ConfigError(f"--resume: takes everything from the run; leave out {', '.join(given)}")


def _resume(reference: str) -> int:
    from vf.engine.checkpoint import newest_good
    from vf.errors import RunError
    from vf.launch import Job
    from vf.recipes import from_text
    from vf.runs import CHECKPOINTS, RECIPE, is_run, run_of

    folder = run_of(reference)
    path = Path(reference).resolve()
    path = path.parent if path.is_file() else path
    checkpoint = newest_good(folder / CHECKPOINTS, click.echo) if is_run(path) else path
    if checkpoint is None:
        raise RunError(f"{reference}: has no good checkpoint to resume from; start again with another --out")
    recipe = (folder / RECIPE).read_text(encoding="utf-8")
    job = Job(action="train", folder=_short(folder), recipe=recipe, checkpoint=str(checkpoint))
    return _launch(from_text(recipe, str(folder / RECIPE)), job)


def _short(folder: Path) -> str:
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else str(folder)


def _launch(resolved: Any, job: Any) -> int:
    from vf.plugins import plugins

    launcher = resolved.recipe.launcher or plugins().lookup("launcher", "local")()
    code: int = launcher.launch(job)
    return code


@run.command()
@click.argument("checkpoint", metavar="RUN|CHECKPOINT")
@click.option("--data", metavar="PATH", help="Measure on this folder instead; classes are matched by name.")
@click.option(
    "--split", type=click.Choice(["train", "val", "test"]), help="Default: test where there is one, else val."
)
@SET
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def test(
    checkpoint: str, data: str | None, split: Any, overrides: tuple[str, ...], device: str | None, as_json: bool
) -> None:
    """Measure a checkpoint with the metrics of its recipe."""
    from vf.console import Console, metric
    from vf.measure import measure
    from vf.runs import find_weights

    with Console(sys.stderr if as_json else sys.stdout) as console:
        weights = find_weights(checkpoint)
        found = measure(weights, console, data=data, split=split, overrides=overrides, device=device or "auto")
        if as_json:
            numbers = found.evaluation.numbers
            click.echo(
                json.dumps({"checkpoint": str(weights), "split": found.split, "images": found.images, **numbers})
            )
            return
        console.table([("metric", found.split)] + [(k, metric(v)) for k, v in found.evaluation.numbers.items()])
        for rows in found.evaluation.tables.values():
            console.table([(f"  {name}", metric(value)) for name, value in rows])


@run.command()
@click.argument("checkpoint", metavar="RUN|CHECKPOINT")
@click.argument("source", metavar="IMAGE|FOLDER")
@click.option("--out", metavar="DIR", help="Where pictures and predictions.json go.  [default: runs/infer-NUMBER]")
@click.option("--threshold", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Smallest score shown.")
@click.option("--batch-size", default=8, show_default=True, type=click.IntRange(min=1), help="Images at a time.")
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=0), help="Processes that decode.")
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print the predictions, one JSON line an image; draw nothing.")
def infer(
    checkpoint: str,
    source: str,
    out: str | None,
    threshold: float,
    batch_size: int,
    workers: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Predict an image or every image of a folder: drawn pictures and predictions.json."""
    from vf.console import Console
    from vf.predict import Predictor, Result, find_images
    from vf.runs import new_run

    files = find_images(source)
    predictor = Predictor.load(checkpoint, device=device or "auto")
    results = predictor.predict_files(files, workers=workers, batch_size=batch_size)
    problems: list[str] = []
    with Console(sys.stderr if as_json else sys.stdout) as console:
        folder = None if as_json else new_run(out, "infer")
        root = Path(source) if Path(source).is_dir() else Path(source).parent
        written: list[dict[str, Any]] = []
        for result in console.track(results, "infer", len(files)):
            if not isinstance(result, Result):
                problems += result.problems
            elif folder is None:
                click.echo(json.dumps(result.plain(threshold=threshold), ensure_ascii=False))
            else:
                written.append(result.plain(threshold=threshold))
                _save_picture(result, folder / Path(result.id).relative_to(root), threshold)
        if folder is not None:
            path = folder / "predictions.json"
            path.write_text(json.dumps(written, indent=1, ensure_ascii=False), encoding="utf-8")
            count = sum(len(w["objects"]) for w in written)
            console.say(
                f"{count} objects on {len(written)} of {len(files)} images; pictures and predictions.json in {folder}"
            )
    if problems:
        raise VFError(*problems)


def _save_picture(result: Any, path: Path, threshold: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # a.png becomes a.png.jpg, because an a.jpg may lie beside it.
    name = path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.name}.jpg"
    result.draw(threshold=threshold).save(path.with_name(name), quality=92)
