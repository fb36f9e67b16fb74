"""``vf run infer``: predict images, videos and cameras."""

from __future__ import annotations

import sys
from typing import Any

import click

from vf.errors import ConfigError
from vf_cli.launching import Launched, launch, launcher_of, places_of
from vf_cli.options import DEVICE, SET


@click.command(cls=Launched)
@click.argument("places", nargs=-1, metavar="[RUN|CHECKPOINT] SOURCE…")
@click.option("--task", metavar="TASK", help="In the place of RUN: the newest run of the task in runs/.")
@click.option(
    "--camera", type=click.IntRange(min=0), metavar="N", help="In the place of SOURCE: a camera of this machine."
)
@click.option(
    "--out", metavar="DIR", help="Where pictures, videos and predictions.json go.  [default: runs/infer-NUMBER]"
)
@click.option("--out-video", metavar="FILE", help="Write the drawn frames of a video or camera.")
@click.option("--json", metavar="FILE", help="Write the predictions as one list.")
@click.option("--jsonl", metavar="FILE", help="Write a line of JSON an image, as it is predicted; '-': to stdout.")
@click.option("--show", is_flag=True, help="Draw in a window, on a machine with a display.")
@click.option("--wait-time", type=click.FloatRange(min=0), help="Seconds that an image stays; 0: until a key.")
@click.option("--score-thr", type=click.FloatRange(0, 1), help="Smallest score shown and written.  [default: 0.3]")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Show and write this class alone; may be repeated."
)
@click.option("--fields", metavar="A,B", help="Write only these of the predictions, as box,score.")
@click.option("--every", type=click.IntRange(min=1), metavar="N", help="Of the frames of a video, every N-th.")
@click.option("--tile", type=click.IntRange(min=1), metavar="PX", help="See large images in squares of this side, too.")
@click.option(
    "--overlap",
    type=click.FloatRange(0, 1, max_open=True),
    help="Part of a tile that the next one sees too.  [default: 0.2]",
)
@click.option(
    "--tile-merge",
    type=click.Choice(["nms", "nmm"]),
    help="Of what is found twice, keep the surest (nms) or unite them (nmm).  [default: nms]",
)
@click.option(
    "--batch-size", type=click.IntRange(min=1), help="Images at a time.  [default: the recipe's in evaluation]"
)
@click.option("--workers", type=click.IntRange(min=0), help="Threads that decode.  [default: 2]")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "fp16", "auto"]), help="[default: fp32]")
@click.option("--decode", type=click.Choice(["cpu", "gpu"]), help="What decodes videos; gpu: with torchcodec.")
@SET
@DEVICE
def infer(places: tuple[str, ...], task: str | None, out: str | None, **flags: Any) -> None:
    """Predict SOURCE: images, folders, patterns, zips, lists of paths (.txt), videos, http(s) and rtsp addresses.

    Without --out-video, --json, --jsonl and --show, pictures and predictions.json go into a folder.
    """
    machines = places_of(flags)
    _refuse_strays(flags)
    from vf.launch import Inference, Job

    checkpoint, sources = _model_and_sources(places, task, flags["camera"])
    given: dict[str, Any] = {
        key: value for key, value in flags.items() if value not in (None, ()) and value is not False
    }
    given["sources"] = sources
    if "fields" in given:
        given["fields"] = tuple(name.strip() for name in given["fields"].split(",") if name.strip())
    elsewhere = any(given.get(key) for key in ("out_video", "json", "jsonl", "show"))
    asked = Inference(checkpoint=checkpoint, folder=bool(out) or not elsewhere, **given)
    job = Job(action="infer", folder="", recipe="", out=out or "", name="infer", inference=asked.plain())
    sys.exit(launch(launcher_of(machines), job, machines))


def _refuse_strays(flags: dict[str, Any]) -> None:
    """Refuse what would do nothing."""
    for key, needed in (("wait_time", "show"), ("overlap", "tile"), ("tile_merge", "tile")):
        if flags[key] is not None and not flags[needed]:
            raise ConfigError(f"--{key.replace('_', '-')}: belongs to --{needed}")


def _model_and_sources(places: tuple[str, ...], task: str | None, camera: int | None) -> tuple[str, tuple[str, ...]]:
    """Return what predicts and what is predicted; --task stands for the first, --camera for the second."""
    wanted = ([] if task else ["RUN|CHECKPOINT"]) + (["SOURCE"] if camera is None else [])
    if len(places) < len(wanted):
        raise click.UsageError(f"Missing argument '{wanted[len(places)]}'.")
    if camera is not None and len(places) > len(wanted):
        raise click.UsageError(f"Got unexpected extra argument ({places[len(wanted)]}): --camera is the source")
    if task is None:
        return places[0], places[1:]
    from vf.runs import newest_of

    run = newest_of(task)
    click.echo(f"model {run}: the newest run of {task}", err=True)
    return str(run), places
