"""``vf data convert``: write a data set in another format."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from vf.console import Console
from vf.errors import ConfigError
from vf.protocols import SPLITS
from vf.recipes import resolve_data
from vf.schema import changed
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


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("out", type=click.Path(path_type=Path))
@TO
@click.option("--from", "name", metavar="NAME", default="", help="Format of SRC, where it is not recognised.")
@click.option("--split", "wanted", multiple=True, type=click.Choice(SPLITS), help="Only this one; may be repeated.")
@click.option("--classes", metavar="FILE", type=click.Path(path_type=Path), help="Class names, one a line.")
@click.option("--ext", metavar="A,B", help="Of plain images: endings that count, as jpg,png.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Of plain images: names to leave out, as '*.gif'.")
@click.option("--plain", is_flag=True, help="Without masks and keypoints, unless --set asks for them.")
@COPY
@LINK
@TASK
@SET
def convert(
    source: str,
    out: Path,
    to: str | None,
    task: str,
    name: str,
    wanted: tuple[str, ...],
    classes: Path | None,
    ext: str | None,
    exclude: tuple[str, ...],
    plain: bool,
    copy: bool,
    link: bool,
    overrides: tuple[str, ...],
) -> None:
    """Write SRC, a folder or zip in any format that vf reads, to OUT, a folder or one json.

    Ids of images and categories, the order of images, crowds and difficult objects stay.
    """
    images = images_rule(copy=copy, link=link)
    refuse_taken(out)
    keys = list(overrides)
    if classes is not None:
        keys.append(f"data.classes={json.dumps(class_names(classes), ensure_ascii=False)}")
    if ext:
        keys.append(f"data.ext={json.dumps(ext.replace(' ', '').split(','))}")
    if exclude:
        keys.append(f"data.exclude={json.dumps(exclude, ensure_ascii=False)}")
    config = resolve_data(source, keys, name=name, said="", task=task)
    whole = delivered(config)
    if plain:  # splits as they are, and nothing else that was not asked for
        same = {f: getattr(config, f) for f in ("masks", "keypoints") if hasattr(config, f)}
        whole = changed(whole, **same)
    with Console(sys.stdout) as console:
        info = whole.info()
        splits = splits_of(whole, wanted)
        notes = write(out, writer_of(to, info), info, splits, images, console.track)
        for note in (*info.notes, *notes):
            console.say(f"note: {note}")
        console.say(f"wrote {out}: {counted(splits)} images, {len(info.classes)} classes")


def class_names(file: Path) -> list[str]:
    """Read class names, one a line; ConfigError where there is no such list, or a name comes twice."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"--classes {file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"--classes {file}: is no UTF-8 text; expected one name a line") from None
    names = [line.strip() for line in lines if line.strip()]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice or not names:
        what = f"names {twice[0]!r} twice" if twice else "names no class"
        raise ConfigError(f"--classes {file}: {what}; expected one name a line")
    return names
