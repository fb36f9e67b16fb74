"""``vf data charset``: which characters texts are made of."""

from __future__ import annotations

import click


@click.group()
def data() -> None:
    """What this plugin adds to ``vf data``."""


@data.command()
@click.argument("source", metavar="SRC")
@click.option("--from", "name", metavar="NAME", default="", help="Format of SRC, where it is not recognised.")
@click.option("--set", "overrides", multiple=True, metavar="K=V", help="Change a key of the data; may be repeated.")
@click.option("--against", metavar="SET", default="", help="A set (digits, lower …) or file to compare with.")
@click.option("--out", metavar="FILE", default="", help="Write the characters to FILE, one a line.")
def charset(source: str, name: str, overrides: tuple[str, ...], against: str, out: str) -> None:
    """List the characters of the labels of SRC, with how often each comes.

    FILE is what 'data.charset' takes: a model that is trained with it keeps these characters, in this order.
    """
    from vf_ocr.data.characters import told

    for line in told(source, name=name, overrides=overrides, against=against, out=out):
        click.echo(line)
