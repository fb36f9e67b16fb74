"""What the commands of ``vf data`` share: which data is meant, its samples, and where results are written."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vf.errors import ConfigError, DataError, listed
from vf.plugins import plugins
from vf.protocols import SPLITS, DatasetConfig, DatasetInfo, Images, Split
from vf.recipes import resolve, resolve_data

if TYPE_CHECKING:
    from vf.data.entries import Entries
    from vf.protocols import Writer

COPY = click.option("--copy", is_flag=True, help="Copy the images; by default labels name them where they are.")
LINK = click.option("--link", is_flag=True, help="Link the images into the new folder.")
TASK = click.option(
    "--task", metavar="TASK", default="", help="Whose data it is, where several tasks read it: det, seg …"
)
TO = click.option("--to", metavar="FORMAT", help="Format to write.  [default: the first for the task; coco for det]")


def dataset_of(
    recipe: str | None, task: str | None, data: str | None, overrides: Sequence[str], *, verb: str
) -> DatasetConfig:
    """Return the data set of a recipe, of a task's default recipe, or of a folder alone."""
    if recipe is None and task is None:
        if data is None:
            raise ConfigError(f"say what to {verb}: a recipe, --task TASK or --data PATH")
        return resolve_data(data, overrides)
    return resolve(recipe, task=task, data=data, overrides=overrides).recipe.data


def delivered(config: DatasetConfig) -> DatasetConfig:
    """Return the data set with all that its files hold, in the splits that they have."""
    whole: Any = getattr(config, "as_delivered", None)
    return config if whole is None else whole()


def splits_of(config: DatasetConfig, wanted: Sequence[str] = ()) -> dict[str, Entries]:
    """Return the samples of the splits that are wanted, of all where none is named; evaluation's targets."""
    from vf.data.entries import Entries
    from vf.wrapper_configs import build_as

    info = config.info()
    have: list[Split] = [split for split in SPLITS if info.num_samples.get(split)]
    missing = [split for split in wanted if split not in have]
    if missing:
        raise DataError(f"the data has no split {missing[0]!r}; it has {listed(have)}")
    chosen = [split for split in have if split in wanted or not wanted]
    return {
        split: Entries(build_as(config, split, evaluation=True), labelled=split not in info.unlabelled)
        for split in chosen
    }


def images_rule(*, copy: bool, link: bool) -> Images:
    """Return what becomes of the images."""
    if copy and link:
        raise ConfigError("--copy and --link: take one of them")
    return "copy" if copy else "link" if link else "keep"


def writer_of(name: str | None, info: DatasetInfo) -> Writer:
    """Return the writer of a name, or the first for the data's task."""
    found = plugins()
    able = [c.name for c in found.components("writer") if c.cls.task == info.task]
    if name is None and not able:
        raise ConfigError(f"--to: no plugin writes data of task {info.task!r}; see 'vf list writers'")
    cls = found.lookup("writer", name or able[0], info.task)
    if cls.task != info.task:
        raise ConfigError(
            f"--to {name}: writes data of task {cls.task!r}, this is {info.task!r}; expected one of {listed(able)}"
        )
    writer: Writer = cls().build()
    return writer


def is_json(out: Path) -> bool:
    """Whether a path means one file, and not a folder."""
    return out.suffix.lower() == ".json"


def refuse_taken(out: Path) -> None:
    """Raise ConfigError where something lies at ``out``: nothing is overwritten."""
    taken = any(out.iterdir()) if out.is_dir() else out.exists() or out.is_symlink()
    if taken:
        raise ConfigError(f"{out}: exists{' and is not empty' * out.is_dir()}; nothing is overwritten: name another")


@contextlib.contextmanager
def fresh(out: Path, *, file: bool) -> Iterator[Path]:
    """Give a place beside ``out`` to write to, a file or an empty folder, that becomes ``out`` in the end.

    It is as deep as ``out``, so that relative paths stay right, and is removed where something goes wrong.
    """
    refuse_taken(out)
    part = out.with_name(f".{out.name}.part{os.getpid()}")
    try:
        if file:
            part.parent.mkdir(parents=True, exist_ok=True)
        else:
            part.mkdir(parents=True)
        yield part
        if out.is_dir():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        raise ConfigError(f"{out}: cannot be written: {error.strerror or error}; name another place") from None
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        elif part.exists():
            part.unlink()


def write(
    out: Path, writer: Writer, info: DatasetInfo, splits: Mapping[str, Entries], images: Images, track: Any
) -> Sequence[str]:
    """Write splits to a folder, or one of them to a json; return what the writer has to say."""
    if not is_json(out):
        with fresh(out, file=False) as folder:
            return writer.write(folder, info, splits, images=images, track=track)
    alone: Any = getattr(writer, "write_file", None)
    if alone is None:
        raise ConfigError(f"{out}: this format is a folder of files; name a folder")
    if len(splits) != 1:
        raise ConfigError(f"{out}: one file holds one split, there are {listed(splits)}; say --split, or name a folder")
    if images != "keep":
        raise ConfigError(f"{out}: --copy and --link need a folder; name one, not a json")
    with fresh(out, file=True) as file:
        said: Sequence[str] = alone(file, info, next(iter(splits.values())), track)
        return said


def counted(splits: Mapping[str, Entries]) -> str:
    """Return ``3 images to train, 2 to val``."""
    return ", ".join(f"{split} {len(entries)}" for split, entries in splits.items())
