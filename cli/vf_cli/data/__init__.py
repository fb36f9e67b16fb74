"""``vf data``: fetch, check, count, look at and rewrite data before training on it."""

from __future__ import annotations

import click

from vf_cli.lazy import GrowingGroup

COMMANDS = {
    "check": ("vf_cli.data.check:check", "Check the data of a recipe or a folder."),
    "stats": ("vf_cli.data.stats:stats", "Count images, objects and their sizes."),
    "browse": ("vf_cli.data.browse:browse", "Write a page of drawn samples, as training sees them."),
    "download": ("vf_cli.data.download:download", "Fetch a published data set."),
    "convert": ("vf_cli.data.convert:convert", "Write a data set in another format."),
    "split": ("vf_cli.data.split:split", "Cut a data set into parts."),
    "merge": ("vf_cli.data.merge:merge", "Join data sets into one."),
}


@click.group(cls=GrowingGroup, lazy=COMMANDS)
def data() -> None:
    """Fetch, check, count, look at and rewrite data before training on it."""
