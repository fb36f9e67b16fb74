"""``vf runs compare``: runs side by side."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from vf.comparison import compare as compare_runs
from vf.console import Console


@click.command()
@click.argument("runs", metavar="RUN...|FOLDER", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--html", metavar="FILE", help="Write a page: the same, and the curves laid over each other.")
def compare(runs: tuple[str, ...], as_json: bool, html: str | None) -> None:
    """Compare runs, or the runs of a folder: keys of their recipes that differ, best and last metric, time."""
    compared = compare_runs([Path(run) for run in runs])
    if html is not None:
        from vf.report.comparing import write_comparison

        write_comparison(compared, Path(html))
    if as_json:
        click.echo(json.dumps(compared.plain(), indent=1, ensure_ascii=False))
        return
    Console(sys.stdout).table(compared.table())
    if not compared.keys and len(compared.runs) > 1:
        click.echo("the recipes say the same")
    if html is not None:
        click.echo(f"wrote {html}")
