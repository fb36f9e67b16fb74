"""``vf ocr``: what there is to do with text alone."""

from __future__ import annotations

import click


@click.group()
def ocr() -> None:
    """Text: make one model of two, and two of one."""


@ocr.command()
@click.argument("detector", metavar="DETECTOR")
@click.argument("recogniser", metavar="RECOGNISER")
@click.option(
    "--out", required=True, metavar="FILE", help="Where the joined model goes: a .safetensors, not there yet."
)
def join(detector: str, recogniser: str, out: str) -> None:
    """Join a model that finds text and a model that reads words.

    Each is a run, a checkpoint or a model.safetensors. The characters are those of RECOGNISER. FILE is a checkpoint
    like any other: 'vf run infer FILE IMAGE', 'vf run test FILE --data PAGES'.
    """
    from pathlib import Path

    from vf_ocr.spotter.join import joined

    for line in joined(detector, recogniser, Path(out)):
        click.echo(line)


@ocr.command()
@click.argument("spotter", metavar="RUN|FILE")
@click.option("--detector", required=True, metavar="FILE", help="Where the model that finds text goes.")
@click.option("--recogniser", required=True, metavar="FILE", help="Where the model that reads words goes.")
def split(spotter: str, detector: str, recogniser: str) -> None:
    """Split a model that finds and reads text, as ocr/quickstart trains, into two.

    Each is a checkpoint like any other: to export, to measure, to train on, or to join with another.
    """
    from pathlib import Path

    from vf_ocr.spotter.split import split as parted

    for line in parted(spotter, Path(detector), Path(recogniser)):
        click.echo(line)
