"""``vf data browse``: a page of drawn samples."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from vf.console import Console
from vf.errors import ConfigError
from vf.protocols import SPLITS
from vf.recipes import resolve, resolve_data
from vf_cli.config import DATA, SET, TASK
from vf_cli.data.source import fresh, refuse_taken


@click.command()
@click.argument("recipe", required=False)
@TASK
@DATA
@SET
@click.option(
    "--out",
    default="browse.html",
    type=click.Path(path_type=Path),
    help="Page, or a folder for a page with its images beside.  [default: browse.html]",
)
@click.option("--number", default=20, type=click.IntRange(1), help="Samples on it.  [default: 20]")
@click.option("--split", default="train", type=click.Choice(SPLITS), help="[default: train]")
@click.option(
    "--augmented/--original",
    default=None,
    help="As training sees them, or as they lie in the data.  [default: augmented for a recipe's train]",
)
@click.option("--seed", type=click.IntRange(0), help="Other samples, other draws.  [default: the recipe's, or 0]")
def browse(
    recipe: str | None,
    task: str | None,
    data: str | None,
    overrides: tuple[str, ...],
    out: Path,
    number: int,
    split: Any,
    augmented: bool | None,
    seed: int | None,
) -> None:
    """Draw samples of RECIPE, of a task's default recipe, or of the folder --data alone, on one page.

    Of a recipe, they are the first that its training sees: after all transforms, at the model's size.
    """
    refuse_taken(out)
    with_recipe = recipe is not None or task is not None
    if augmented and not with_recipe:
        raise ConfigError("--augmented: transforms and size are a recipe's; name a recipe or --task TASK")
    if data is None and not with_recipe:
        raise ConfigError("say what to draw: a recipe, --task TASK or --data PATH")
    if augmented is None:
        augmented = with_recipe and split == "train"
    from vf.browse import as_labelled, as_trained, write_page

    if with_recipe:
        resolved = resolve(recipe, task=task, data=data, overrides=overrides)
        chosen, name = resolved.recipe, resolved.source
        if augmented:
            drawn = as_trained(chosen, split, number=number, seed=seed)
        else:
            drawn = as_labelled(chosen.data, split, number=number, seed=chosen.train.seed if seed is None else seed)
    else:
        name = str(data)
        drawn = as_labelled(resolve_data(name, overrides), split, number=number, seed=seed or 0)
    title = f"{name}: {split}, {'as training sees it' if augmented else 'as labelled'}"
    is_page = out.suffix.lower() in (".html", ".htm")
    with Console(sys.stdout) as console:
        with fresh(out, file=is_page) as part:
            page = part if is_page else part / "index.html"
            count = write_page(page, title, console.track(drawn, "draw", number), beside=not is_page)
        console.say(f"wrote {out if is_page else out / 'index.html'}: {count} samples")
