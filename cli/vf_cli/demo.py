"""``vf demo``: a page on this machine that shows what a model says about an image."""

from __future__ import annotations

import sys

import click

from vf.console import Console
from vf_cli.options import DEVICE


@click.command()
@click.argument("checkpoint", metavar="CHECKPOINT|RUN")
@click.option("--port", default=8765, show_default=True, type=click.IntRange(0, 65535), help="0: a free one.")
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Other addresses than this let other machines ask."
)
@click.option(
    "--threshold", default=0.3, show_default=True, type=click.FloatRange(0, 1), help="Smallest score at first."
)
@DEVICE
def demo(checkpoint: str, port: int, host: str, threshold: float, device: str | None) -> None:
    """Serve a page on which an image is dropped and what CHECKPOINT says of it is seen, until Ctrl-C."""
    from vf.demo.serve import open_demo, serve

    with Console(sys.stdout) as console:
        server = open_demo(checkpoint, host=host, port=port, device=device or "auto", threshold=threshold)
        serve(server, console.say)
