"""``vf data download``: fetch a published data set."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vf.console import Console
from vf.downloading import Fetching, Wanted, check_mirror, choose
from vf.fetch import StoppedError
from vf.plugins import plugins

INTERRUPTED = 130


@click.command()
@click.argument("name")
@click.option("--to", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder.  [default: NAME]")
@click.option("--parts", metavar="A,B", help="Only these, as train,val.")
@click.option(
    "--threads", default=4, type=click.IntRange(1, 64), help="Files that are fetched at a time.  [default: 4]"
)
@click.option("--unzip/--no-unzip", default=True, help="--no-unzip: leave zips that vf reads as they are.")
@click.option("--delete", is_flag=True, help="Delete archives that have been unpacked.")
@click.option("--mirror", metavar="URL", default="", help="Folder of another server that holds the files by name.")
@click.option("--task", metavar="TASK", default="", help="For which task, where several fetch a NAME: det, seg …")
@click.option("--dry-run", is_flag=True, help="Only say what would be fetched, from where, and how it is checked.")
def download(
    name: str,
    folder: Path | None,
    parts: str | None,
    threads: int,
    unzip: bool,
    delete: bool,
    mirror: str,
    task: str,
    dry_run: bool,
) -> int:
    """Fetch the data set NAME; see 'vf list downloads'.

    What is cut or stopped goes on where it ended with the same command; what is there is not fetched again.
    """
    found = plugins()
    found.check()
    config = found.lookup("download", name, task)()
    if mirror:
        check_mirror(mirror)
    chosen = [part for part in (parts or "").replace(" ", "").split(",") if part]
    wanted = choose(config.build(), chosen, mirror=mirror, unzip=unzip)
    folder = folder or Path(name)
    with Console(sys.stdout) as console:
        if dry_run:
            _print(wanted, folder, console)
            return 0
        fetching = Fetching(folder, wanted, console, threads=threads)
        if fetching.finished() and not delete:
            console.say(f"{folder}: all {len(wanted)} files are there")
            return 0
        try:
            fetching.run(delete=delete, finish=getattr(config, "finish", None))
        except StoppedError as stopped:
            console.say(str(stopped))
            return INTERRUPTED
        console.say(f"done  {folder}; next: vf data check --data {folder}")
    return 0


def _print(wanted: list[Wanted], folder: Path, console: Console) -> None:
    for one in wanted:
        size = f"{one.file.size / 1e6:.1f} MB" if one.file.size else "size not published"
        kind = one.file.digest.partition(":")[0] or "no checksum published"
        where = f"{folder / one.file.name}{', unpacked' if one.unpack else ''}"
        console.say(f"{one.url}  {size}  {kind}  -> {where}")
    console.say(f"{len(wanted)} files, {sum(one.file.size or 0 for one in wanted) / 1e6:.1f} MB")
