"""``vf data merge``: join data sets into one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from vf.console import Console
from vf.errors import ConfigError, DataError, listed
from vf.protocols import SPLITS, DatasetInfo, Images
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
    refuse_taken,
    splits_of,
    write,
    writer_of,
)

if TYPE_CHECKING:
    from vf.data.entries import Entries


@click.command()
@click.argument("sources", metavar="A B...", nargs=-1, required=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="New folder, or a json for one split.")
@click.option("--split", "wanted", multiple=True, type=click.Choice(SPLITS), help="Only this one; may be repeated.")
@TO
@COPY
@LINK
@TASK
@SET
def merge(
    sources: tuple[str, ...],
    out: Path,
    wanted: tuple[str, ...],
    to: str | None,
    task: str,
    copy: bool,
    link: bool,
    overrides: tuple[str, ...],
) -> None:
    """Join the splits of data sets, folders or zips in any formats; classes are joined by their names.

    Objects are numbered anew, and images whose id is taken; --set goes to each of the data sets.
    """
    if len(sources) < 2:
        raise ConfigError(f"merge: expected two data sets or more, got {listed(sources)}")
    images = images_rule(copy=copy, link=link)
    refuse_taken(out)
    with Console(sys.stdout) as console:
        configs = [delivered(resolve_data(source, overrides, said="", task=task)) for source in sources]
        infos = [config.info() for config in configs]
        joined = _joined(sources, infos)
        tables = _classes(sources, infos, joined, console)
        splits = _splits(sources, configs, wanted, tables, images, console)
        for note in write(out, writer_of(to, joined), joined, splits, images, console.track):
            console.say(f"note: {note}")
        console.say(f"wrote {out}: {counted(splits)} images, {len(joined.classes)} classes")


def _joined(sources: Sequence[str], infos: Sequence[DatasetInfo]) -> DatasetInfo:
    """Return the facts of all together; DataError where they do not go together."""
    first = infos[0]
    for source, info in zip(sources, infos, strict=True):
        if info.task != first.task:
            raise DataError(f"{source}: its task is {info.task!r}, that of {sources[0]} is {first.task!r}")
    points = {info.keypoints for info in infos if info.keypoints}
    if len(points) > 1:
        raise DataError(f"{listed(sources)}: have different keypoints; leave them out: --set data.keypoints=false")
    return attrs.evolve(
        first,
        classes=tuple(dict.fromkeys(name for info in infos for name in info.classes)),
        keypoints=next(iter(points), ()),
        multi_label=any(info.multi_label for info in infos),
        stuff=(),
        palette=None,
        category_ids=first.category_ids if all(info.classes == first.classes for info in infos) else (),
        notes=(),
    )


def _classes(sources: Sequence[str], infos: Sequence[DatasetInfo], joined: DatasetInfo, console: Console) -> list[Any]:
    """Say which class comes from where, and return the table of each data set's class indices."""
    import numpy as np

    rows: list[tuple[str, ...]] = [("class", "in")]
    for name in joined.classes:
        rows.append((name, ", ".join(s for s, info in zip(sources, infos, strict=True) if name in info.classes)))
    console.table(rows)
    lower: dict[str, str] = {}
    for name in joined.classes:
        twin = lower.setdefault(name.lower().replace("_", " "), name)
        if twin != name:
            console.say(f"warning: classes {twin!r} and {name!r} stay two; rename one if they are the same")
    return [np.array([joined.classes.index(name) for name in info.classes], np.int64) for info in infos]


def _splits(
    sources: Sequence[str],
    configs: Sequence[Any],
    wanted: Sequence[str],
    tables: Sequence[Any],
    images: Images,
    console: Console,
) -> dict[str, Entries]:
    from vf.data.entries import Chained

    members: dict[str, dict[str, Entries]] = {split: {} for split in SPLITS}
    for number, (source, config, table) in enumerate(zip(sources, configs, tables, strict=True)):
        have = splits_of(config)
        for split, entries in have.items():
            if split in wanted or not wanted:
                key = source if sources.count(source) == 1 else f"{source} ({number})"
                members[split][key] = entries.translated(table)
    joined = {split: own for split, own in members.items() if own}
    if not joined:
        raise DataError(f"none of {listed(sources)} has a split {listed(wanted)}")
    for split, own in joined.items():
        if len({entries.labelled for entries in own.values()}) > 1:
            bare = next(source for source, entries in own.items() if not entries.labelled)
            raise DataError(f"{bare}: {split} has no labels, and others have; leave it out with --split")
        _clashes(split, own, images, console)
    return {split: Chained(list(own.values())) for split, own in joined.items()}


def _clashes(split: str, members: Mapping[str, Entries], images: Images, console: Console) -> None:
    """Name images that are in two data sets, and files of one name in two of them."""
    owner: dict[str, tuple[str, str]] = {}
    same: list[str] = []
    alike: list[tuple[str, str, str]] = []
    for source, entries in members.items():
        for place in range(len(entries)):
            name, path = entries.name(place), entries.path(place)
            file = "" if path is None else os.path.realpath(path)
            if name in owner and owner[name][0] != source:
                if file and file == owner[name][1]:
                    same.append(name)
                else:
                    alike.append((name, owner[name][0], source))
            owner[name] = (source, file)
    if same:
        raise DataError(
            f"{split}: {len(same)} images are in two of the data sets, the first {same[0]!r}; their labels would be "
            "torn apart"
        )
    if alike:
        name, one, other = alike[0]
        line = f"{split}: {len(alike)} names of images are in two data sets, the first {name!r} in {one} and in {other}"
        if images != "keep":
            raise DataError(f"{line}; rename them, or let the images stay (without --copy and --link)")
        console.say(f"warning: {line}; they stay two images, in their own folders")
