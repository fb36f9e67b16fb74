"""``vf convert``: the weights of other libraries."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vf.errors import ConfigError, DataError
from vf_cli.options import SET

SOURCES = ("torchvision", "mmdet", "mmseg", "mmpretrain", "mmocr", "yolox", "timm", "other")
"""Those of `vf.foreign`, which is not imported to show the help."""


@click.command()
@click.argument("file", metavar="FILE")
@click.argument("out", metavar="[OUT]", required=False)
@click.option(
    "--from",
    "source",
    type=click.Choice(SOURCES),
    help="Whose weights they are; other: of nobody here, and the model's plugin knows them.",
)
@click.option("--to", metavar="RECIPE|MODEL", help="What to make of them; without it, FILE is only looked into.")
@click.option("--like", metavar="RUN", help="FILE's names are ours: write OUT with the recipe and classes of RUN.")
@click.option("--classes", metavar="FILE", help="Class names in the order of the weights, one a line.")
@click.option("--data", metavar="PATH", help="Take the class names, and the data of the recipe, from this folder.")
@click.option(
    "--norm-eps", type=click.FloatRange(min=0), help="Eps of the batch norms.  [default: as published, else 1e-5]"
)
@SET
def convert(file: str, out: str | None, source: str | None, to: str | None, like: str | None, **flags: Any) -> None:
    """Read weights of torchvision, OpenMMLab, YOLOX or timm, and write OUT, a model.safetensors of ours.

    Tensors alone are read; nothing in FILE is run. Without --to, say what FILE holds and which recipes it fits.

    Where FILE is a run or checkpoint of ours and OUT a .pth, write its tensors by name, for programs of torch; --like
    makes a model.safetensors of such a file again.
    """
    if _plain(file, out, like, [name for name, value in {"--from": source, "--to": to, **flags}.items() if value]):
        return
    if to is None:
        stray = [f"--{key.replace('_', '-')}" for key in ("classes", "data", "norm_eps") if flags[key] is not None]
        stray += ["OUT"] * (out is not None) + ["--set"] * bool(flags["overrides"])
        if stray:
            raise ConfigError(f"{stray[0]}: belongs to --to RECIPE")
    elif source is None:
        raise ConfigError(f"--to: say whose weights these are: --from {', '.join(SOURCES[:-1])} or {SOURCES[-1]}")
    from vf.console import Console
    from vf.foreign import describe, read_foreign

    foreign = read_foreign(Path(file))
    with Console(sys.stdout) as console:
        for line in describe(foreign):
            if to is None or not line.startswith("  "):
                console.say(line)
        if to is None or source is None:
            _say_fits(foreign, source, console)
        else:
            _convert(foreign, Path(out or f"{Path(file).stem}.safetensors"), source, to, console, flags)


def _plain(file: str, out: str | None, like: str | None, others: list[str]) -> bool:
    """Convert between our weights and a plain state dict, where that is asked for."""
    writes = out is not None and Path(out).suffix in (".pth", ".pt") and "--to" not in others
    if not writes and like is None:
        return False
    what = "--like" if like is not None else f"OUT {out}"
    if others or (writes and like is not None):
        other = (
            "a model.safetensors as OUT"
            if not others
            else f"no {others[0] if others[0][0] == '-' else '--' + others[0]}"
        )
        raise ConfigError(f"{what}: takes {other}")
    from vf.plain_weights import read_plain, write_plain

    if writes:
        click.echo(write_plain(file, Path(str(out))))
    elif out is None or not out.endswith(".safetensors"):
        raise ConfigError(f"--like {like}: say what to write: vf convert {file} OUT.safetensors --like {like}")
    else:
        click.echo(read_plain(Path(file), Path(out), like=str(like)))
    return True


def _say_fits(foreign: Any, source: str | None, console: Any) -> None:
    from vf.conversion import FITS, fits

    found = fits(foreign, source)
    if not found or not found[0].came:
        console.say("fits  no model of the recipes that are installed")
        return
    for fit in [fit for fit in found if fit.share >= FITS][:3] or found[:1]:
        part = "" if fit.share >= FITS else "nearest, and not of it: "
        console.say(f"fits  {part}{fit.recipe}: {fit.came} of {fit.wanted} tensors, in the names of {fit.source}")
    if found[0].share >= FITS:
        console.say(f"next  vf convert {foreign.path} --from {found[0].source} --to {found[0].recipe}")


def _convert(foreign: Any, out: Path, source: str, to: str, console: Any, flags: dict[str, Any]) -> None:
    from vf.conversion import Order, convert, next_steps

    order = Order(
        source=source,
        to=to,
        overrides=flags["overrides"],
        data=flags["data"],
        classes=_names(flags["classes"]),
        norm_eps=flags["norm_eps"],
    )
    done = convert(foreign, out, order)
    for line in (*done.lines, *next_steps(out, to, whole=done.whole)):
        console.say(line)


def _names(file: str | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--classes {file}: cannot be read: {getattr(error, 'strerror', '') or error}") from None
    return tuple(line.strip() for line in lines if line.strip())
