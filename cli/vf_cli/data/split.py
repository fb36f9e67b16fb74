"""``vf data split``: cut a data set into parts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from vf.console import Console
from vf.errors import ConfigError, DataError, listed
from vf.protocols import SPLITS
from vf.recipes import resolve_data
from vf_cli.config import SET
from vf_cli.data.source import (
    COPY,
    LINK,
    TASK,
    TO,
    counted,
    delivered,
    images_rule,
    is_json,
    refuse_taken,
    splits_of,
    write,
    writer_of,
)

if TYPE_CHECKING:
    from vf.data.entries import Entries


@click.command()
@click.option("--data", required=True, metavar="PATH", help="Folder or zip; its format is recognised.")
@click.option("--fractions", required=True, metavar="A,B,C", help="Sizes of the parts, as .8,.1,.1")
@click.option("--names", metavar="A,B,C", help="Names of the parts.  [default: train,val,test]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder.")
@click.option("--stratify", is_flag=True, help="Every part gets its share of the images of each class.")
@click.option("--group-by", default="", metavar="REGEX", help="Images whose names match alike stay together.")
@click.option("--seed", default=0, type=click.IntRange(0), help="Other parts.  [default: 0]")
@click.option(
    "--split",
    "wanted",
    multiple=True,
    type=click.Choice(SPLITS),
    help="Cut only this one; may be repeated.  [default: train and val together, as far as they are labelled]",
)
@TO
@COPY
@LINK
@TASK
@SET
def split(
    data: str,
    fractions: str,
    names: str | None,
    out: Path,
    stratify: bool,
    group_by: str,
    seed: int,
    wanted: tuple[str, ...],
    to: str | None,
    task: str,
    copy: bool,
    link: bool,
    overrides: tuple[str, ...],
) -> None:
    """Cut the images of a data set into parts; none is in two, and the same seed gives the same parts.

    The order of the images in their files is of no matter.
    """
    shares = _shares(fractions)
    parts = _names(names, len(shares))
    images = images_rule(copy=copy, link=link)
    if is_json(out):
        raise ConfigError(f"{out}: parts are several files; name a folder")
    refuse_taken(out)
    config = delivered(resolve_data(data, overrides, task=task))
    with Console(sys.stdout) as console:
        info = config.info()
        from vf.data.cutting import cut, groups_of
        from vf.data.entries import Chained

        have = splits_of(config, wanted)
        chosen = {name: one for name, one in have.items() if wanted or (one.labelled and name != "test")} or have
        whole = Chained(list(chosen.values()))
        if not whole.labelled:
            raise DataError(f"{data}: has no labels; parts of it would be for nothing")
        ids = [whole.name(place) for place in range(len(whole))]
        _refuse_twice(ids)
        groups = groups_of(ids, group_by)
        labels = [whole.labels(place) for place in range(len(whole))] if stratify else None
        places = cut(groups, shares, seed=seed, classes=labels)
        cuts = {name: whole.select(own) for name, own in zip(parts, places, strict=True)}
        empty = [name for name, own in cuts.items() if not len(own)]
        if empty:
            what = f"{len(set(groups))} group{'s' * (len(set(groups)) > 1)} of {len(whole)} images"
            raise DataError(f"part {empty[0]!r} would have no image: there are {what}; choose other --fractions")
        notes = write(out, writer_of(to, info), attrs.evolve(info, notes=()), cuts, images, console.track)
        for note in notes:
            console.say(f"note: {note}")
        _report(cuts, info.classes, console)
        console.say(f"wrote {out}: {counted(cuts)} images, from {listed(chosen)}")


def _shares(text: str) -> list[float]:
    try:
        shares = [float(word) for word in text.split(",")]
    except ValueError:
        shares = []
    if len(shares) < 2 or not all(0 < share < 1 for share in shares) or abs(sum(shares) - 1) > 1e-3:
        raise ConfigError(f"--fractions {text}: expected numbers between 0 and 1 that add up to 1, like .8,.1,.1")
    return shares


def _names(text: str | None, count: int) -> list[str]:
    names: list[str] = [*SPLITS[:count]] if text is None else [name.strip() for name in text.split(",")]
    if len(names) != count or len(set(names)) != count or not all(name.isidentifier() for name in names):
        raise ConfigError(
            f"--names: expected {count} different words, one for each fraction, got {text or listed(names)}"
        )
    return names


def _refuse_twice(ids: Sequence[str]) -> None:
    twice = [name for name, number in Counter(ids).items() if number > 1]
    if twice:
        raise DataError(
            f"{len(twice)} images are in two splits, the first {twice[0]!r}; they would be in two parts: say --split"
        )


def _report(cuts: Mapping[str, Entries], classes: Sequence[str], console: Console) -> None:
    """Print how many images of each class each part has."""
    counts = {
        part: Counter(k for p in range(len(own)) for k in set(own.labels(p).tolist())) for part, own in cuts.items()
    }
    rows = [("images with class", *cuts)]
    for index, name in enumerate(classes):
        cells = [f"{counts[part][index]} ({100 * counts[part][index] / len(own):.1f} %)" for part, own in cuts.items()]
        rows.append((name, *cells))
    console.table(rows)
    for index, name in enumerate(classes):
        missing = [part for part in cuts if not counts[part][index]]
        if missing and len(missing) < len(cuts):
            console.say(f"warning: {name}: no image in {listed(missing)}")
