"""``vf data stats``: count what the splits hold."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from vf.console import Console
from vf.protocols import SPLITS, DatasetConfig
from vf_cli.config import DATA, SET, TASK
from vf_cli.data.source import dataset_of, refuse_taken

COUNTS = {
    "images": "images",
    "empty": "images without objects",
    "objects": "objects",
    "crowd": "crowd regions",
    "difficult": "difficult objects",
}
AREAS = {"small": "small (< 32² px)", "medium": "medium", "large": "large (> 96² px)"}
SPREADS = {
    "objects_per_image": "objects an image",
    "image_width": "image width, px",
    "image_height": "image height, px",
}


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
    with Console(sys.stdout) as console:
        told = _told(dataset)
        for note in dataset.info().notes:
            console.say(f"note: {note}")
        _print(told, console)
        if file is not None:
            file.write_text(json.dumps(told, indent=1, ensure_ascii=False), encoding="utf-8")
            console.say(f"wrote {file}")


def _told(dataset: DatasetConfig) -> dict[str, dict[str, Any]]:
    from vf.data.statistics import statistics
    from vf.wrapper_configs import build_as

    info = dataset.info()
    have = [split for split in SPLITS if info.num_samples.get(split)]
    return {
        split: statistics(
            build_as(dataset, split, evaluation=True), info.classes, labelled=split not in info.unlabelled
        )
        for split in have
    }


def _print(told: Mapping[str, Mapping[str, Any]], console: Console) -> None:
    from vf.data.statistics import rows_of_classes

    console.table(_counts(told))
    spreads = _spreads(told)
    if len(spreads) > 1:
        console.say()
        console.table(spreads)
    for split, facts in told.items():
        if sizes := facts.get("image_sizes"):
            console.say(f"  {split}: most are {', '.join(f'{w}×{h} ({n})' for w, h, n in sizes)}")
    if classes := rows_of_classes(told):
        console.say()
        console.table(classes)


def _counts(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table of numbers by split, without rows of which there is nothing."""
    rows: list[tuple[str, ...]] = [("split", *told)]
    for key, label in COUNTS.items():
        if any(facts.get(key) for facts in told.values()):
            rows.append((label, *(str(facts.get(key, "-")) for facts in told.values())))
    if any("ignored" in facts for facts in told.values()):
        shares = (f"{100 * facts['ignored']:.1f} %" if "ignored" in facts else "-" for facts in told.values())
        rows.append(("pixels ignored", *shares))
    if any("areas" in facts for facts in told.values()):
        rows += [(label, *(_part(facts.get("areas"), key) for facts in told.values())) for key, label in AREAS.items()]
    return rows


def _spreads(told: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return the table of quantiles."""
    from vf.data.statistics import POINTS

    rows: list[tuple[str, ...]] = [("", *POINTS, "mean")]
    for key, label in SPREADS.items():
        for split, facts in told.items():
            if values := facts.get(key):
                rows.append((f"{split}: {label}", *(f"{v:g}" for v in values.values())))
    return rows


def _part(areas: Mapping[str, int] | None, key: str) -> str:
    if areas is None:
        return "-"
    return f"{areas[key]} ({100 * areas[key] / max(1, sum(areas.values())):.1f} %)"
