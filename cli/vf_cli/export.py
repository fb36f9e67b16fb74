"""``vf run export``: a model as a file that runs elsewhere."""

from __future__ import annotations

import sys
from typing import Any

import click

from vf.errors import ConfigError
from vf_cli.launching import Launched, launch, launcher_of, places_of
from vf_cli.options import SET

FORMATS = ("onnx", "torchscript", "torch_export")


@click.command(cls=Launched)
@click.argument("checkpoint", metavar="RUN|CHECKPOINT", required=False)
@click.option("--task", metavar="TASK", help="In the place of RUN: the newest run of the task in runs/.")
@click.option("--format", type=click.Choice(FORMATS), help="Of the file.  [default: onnx]")
@click.option("--out", metavar="FILE", help="Must not exist.  [default: named after the checkpoint, here]")
@click.option(
    "--dynamic",
    metavar="batch,size",
    help="What is left open; none: nothing.  [default: batch, and size where the network takes several]",
)
@click.option("--size", type=(int, int), metavar="H W", help="Bring all images to one height and width, px.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Images at once, if not open.  [default: 1]")
@click.option("--opset", type=click.IntRange(min=18), help="Of ONNX.  [default: 18, or what the model needs]")
@click.option("--images", metavar="PATH", help="Compare on this image or folder, not on the run's data.")
@click.option("--data", metavar="PATH", help="Compare on this folder of data.")
@click.option("--check", type=click.IntRange(min=1), metavar="N", help="Images to compare on.  [default: 8]")
@SET
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def export(checkpoint: str | None, task: str | None, dynamic: str | None, **flags: Any) -> None:
    """Write a model as one file with its image rules, classes and recipe.

    The file is compared with the model on images first; where they differ, nothing is written.
    """
    places = places_of(flags)
    if (checkpoint is None) == (task is None):
        raise ConfigError("say what to export: a run or a checkpoint, or --task TASK for the newest run of a task")
    if dynamic is not None:
        flags["dynamic"] = () if dynamic == "none" else tuple(part.strip() for part in dynamic.split(","))
    from vf.launch import Job
    from vf.orders import ExportOrder
    from vf.runs import newest_of

    given = {key: value for key, value in flags.items() if value is not None}
    asked = ExportOrder(checkpoint=checkpoint or str(newest_of(task or "")), **given)
    job = Job(action="export", folder="", recipe="", name="export", order=asked.plain())
    sys.exit(launch(launcher_of(places), job, places))
