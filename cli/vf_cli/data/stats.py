"""``vf data stats``: count what the splits hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vf.console import Console
from vf_cli.config import DATA, SET, TASK
from vf_cli.data.source import dataset_of, refuse_taken


@click.command()
@click.argument("recipe", required=False)
@TASK
@DATA
@SET
@click.option("--json", "file", metavar="FILE", type=click.Path(path_type=Path), help="Write the numbers to FILE, too.")
def stats(
    recipe: str | None, task: str | None, data: str | None, overrides: tuple[str, ...], file: Path | None
) -> None:
    """Count the data of RECIPE, of a task's default recipe, or of the folder --data alone.

    Objects are those that are trained on; crowd regions and difficult ones are counted by themselves. No image is
    decoded. Sizes are COCO's, by area. Where pixels have classes, these are counted: every map is read.
    """
    if file is not None:
        refuse_taken(file)
    dataset = dataset_of(recipe, task, data, overrides, verb="count")
    from vf.data.statistics import told_of

    with Console(sys.stdout) as console:
        told = told_of(dataset)
        for note in dataset.info().notes:
            console.say(f"note: {note}")
        _print(told, console)
        if file is not None:
            file.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
            console.say(f"wrote {file}")


def _print(told: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    from vf.data.statistics import rows_of_classes, rows_of_counts, rows_of_spreads

    console.table(rows_of_counts(told))
    spreads = rows_of_spreads(told)
    if len(spreads) > 1:
        console.say()
        console.table(spreads)
    for split, facts in told.items():
        if sizes := facts.get("image_sizes"):
            console.say(f"  {split}: most are {', '.join(f'{w}×{h} ({n})' for w, h, n in sizes)}")
    if classes := rows_of_classes(told):
        console.say()
        console.table(classes)
