"""``vf report``: one page about one run."""

from __future__ import annotations

import sys
from typing import Any

import click

from vf.console import Console
from vf.errors import ConfigError
from vf.protocols import SPLITS
from vf_cli.options import DEVICE


@click.command()
@click.argument("run")
@click.option("--out", default="", metavar="FILE", help="The page.  [default: RUN/report.html]")
@click.option(
    "--images",
    default=500,
    show_default=True,
    type=click.IntRange(min=1),
    help="Images to measure, evenly spread over the split.",
)
@click.option("--all-images", is_flag=True, help="Measure all images of the split.")
@click.option("--no-predict", is_flag=True, help="Measure nothing: curves, recipe and data alone.")
@click.option("--predictions", default="", metavar="FILE", help="Of 'vf run test --out', instead of running the model.")
@click.option("--data", metavar="PATH", help="Measure on this folder; its format is recognised.")
@click.option("--split", type=click.Choice(SPLITS), help="To measure on.  [default: test, else val]")
@click.option("--no-stats", is_flag=True, help="Do not count the data.")
@DEVICE
def report(run: str, out: str, images: int, device: str | None, **flags: Any) -> None:
    """Write a page about RUN: curves, metrics, PR curves, confusion, worst and best images, data, recipe.

    The page is one file that needs nothing else, not even a network. Predictions are taken from the newest file in
    RUN/predictions, if there is one, else the model runs.
    """
    named = [f"--{key}" for key in ("predictions", "data", "split") if flags[key]]
    if flags["no_predict"] and named:
        raise ConfigError(f"--no-predict: measures nothing; leave out {', '.join(named)}")
    from vf.report.write import Asked, write_report

    asked = Asked(
        run=run,
        out=out,
        images=None if flags["all_images"] else images,
        predict=not flags["no_predict"],
        predictions=flags["predictions"],
        data=flags["data"],
        split=flags["split"],
        device=device or "auto",
        statistics=not flags["no_stats"],
    )
    with Console(sys.stdout) as console:
        console.say(f"wrote {write_report(asked, console)}")
