"""``vf run bench``: how long a model takes, and where."""

from __future__ import annotations

import sys
from typing import Any

import click

from vf.errors import ConfigError
from vf_cli.launching import Launched, launch, launcher_of, places_of
from vf_cli.options import DEVICE, SET


@click.command(cls=Launched)
@click.argument("model", metavar="RECIPE|RUN|CHECKPOINT|FILE.onnx", required=False)
@click.option("--task", metavar="TASK", help="In the place of RUN: the newest run of the task in runs/.")
@click.option("--data", metavar="PATH", help="Folder of data for images and the input pipeline.")
@click.option("--images", metavar="PATH", help="Measure on this image or folder; no input pipeline.")
@click.option("--batch-sizes", metavar="N,N", help="Images at once.  [default: 1,4,8]")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="For each batch size and pipeline.  [default: 3]"
)
@click.option("--workers", type=click.IntRange(min=0), help="Of the input pipeline.  [default: the recipe's]")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "auto"]), help="[default: fp32]")
@click.option("--classes", type=click.IntRange(min=1), help="Of a recipe whose data are not here.  [default: 80]")
@SET
@DEVICE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(model: str | None, task: str | None, batch_sizes: str | None, **flags: Any) -> None:
    """Measure parameters, FLOPs, latency by stage and batch size, memory and the input pipeline.

    A recipe is measured with random weights.
    """
    places = places_of(flags)
    if (model is None) == (task is None):
        raise ConfigError("say what to measure: a recipe, a run or a checkpoint, or --task TASK for its newest run")
    if batch_sizes is not None:
        flags["batch_sizes"] = _sizes(batch_sizes)
    from vf.launch import Job
    from vf.orders import BenchOrder
    from vf.runs import newest_of

    given = {key: value for key, value in flags.items() if value not in (None, ())}
    asked = BenchOrder(model=model or str(newest_of(task or "")), **given)
    job = Job(action="bench", folder="", recipe="", name="bench", order=asked.plain())
    sys.exit(launch(launcher_of(places), job, places))


def _sizes(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) for part in parts):
        raise ConfigError(f"--batch-sizes {text}: expected whole numbers from 1 on, as 1,4,8")
    return tuple(int(part) for part in parts)
