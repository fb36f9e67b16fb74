"""``vf data check``: look for what would spoil a training."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from vf.console import Console
from vf.errors import DataError, listed
from vf.preflight import preflight
from vf.protocols import SPLITS, DatasetConfig, DatasetInfo, Finding
from vf_cli.config import DATA, SET, TASK
from vf_cli.data.source import dataset_of


@click.command()
@click.argument("recipe", required=False)
@TASK
@DATA
@SET
@click.option("--images", is_flag=True, help="Decode every image too.")
def check(recipe: str | None, task: str | None, data: str | None, overrides: tuple[str, ...], images: bool) -> None:
    """Check the data of RECIPE, of a task's default recipe, or of the folder --data alone.

    Labels are read, images are not, unless --images asks for it.
    """
    dataset = dataset_of(recipe, task, data, overrides, verb="check")
    with Console(sys.stdout) as console:
        findings = preflight(dataset)
        _print_findings(findings, console)
        errors = [f.text for f in findings if f.level == "error"]
        info = _info(dataset)
        if info is not None:
            _print_splits(info, console)
        if info is not None and images:
            errors += _broken_images(dataset, info, console)
        if not errors:
            console.say("ok    nothing stands in the way of a training")
    if errors:
        raise DataError(*dict.fromkeys(errors))


def _print_findings(findings: Sequence[Finding], console: Console) -> None:
    """Print warnings and notes; errors come last, where an error is looked for."""
    for level in ("warning", "note"):
        for finding in findings:
            if finding.level == level:
                console.say(f"{level}: {finding.text}")


def _info(dataset: DatasetConfig) -> DatasetInfo | None:
    """Return the facts; None where the annotations are broken, which the findings say already."""
    try:
        return dataset.info()
    except DataError:
        return None


def _print_splits(info: DatasetInfo, console: Console) -> None:
    console.table([("split", "images")] + [(s, str(info.num_samples[s])) for s in SPLITS if s in info.num_samples])
    console.say(f"  {len(info.classes)} classes: {listed(info.classes)}")


def _broken_images(dataset: DatasetConfig, info: DatasetInfo, console: Console) -> list[str]:
    """Decode every image of every split; one line for each that cannot be read."""
    problems: list[str] = []
    for split in SPLITS:
        if split in info.num_samples:
            built: Any = dataset.build(split)
            for broken in console.track(_read(built), f"decode {split}", len(built)):
                problems += broken
    console.say(f"decoded {sum(info.num_samples.values())} images, {len(problems)} broken")
    return problems


def _read(samples: Any) -> Iterator[tuple[str, ...]]:
    """Yield the problems of each sample, mostly none."""
    for index in range(len(samples)):
        try:
            samples[index]
        except DataError as error:
            yield error.problems
        else:
            yield ()
