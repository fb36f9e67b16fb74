"""``vf plugins new``: write a package that installs, is listed, and passes its own test."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

import click

from vf.errors import RunError

TEMPLATE = Path(__file__).parent / "template"
KINDS = ("model", "backbone", "dataset", "transform", "metric", "callback", "launcher")
USAGE = {
    "model": "    vf run train --task det --set model.name=$name",
    "backbone": "    vf run train --task det --set model.name=faster_rcnn --set model.backbone.name=$name",
    "dataset": "    vf run train --task det --set data.name=$name",
    "transform": "    vf run train --task det --set augment.0.name=$name",
    "metric": "    vf run train --task det --set metrics.0.name=$name",
    "callback": "    vf run train --task det --set callbacks.0.name=$name",
    "launcher": "    vf run train --task det --set launcher.name=$name",
}


@click.command()
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin brings.")
@click.option("--dir", "parent", default=".", metavar="DIR", help="Folder to make it in.  [default: here]")
def new(name: str, kind: str, parent: str) -> None:
    """Write a plugin NAME: a package with one component, its entry point and its test."""
    _check(name)
    folder = Path(parent) / name
    if folder.exists():
        raise RunError(f"{folder}: exists; choose another name or --dir")
    write(folder, name, kind)
    usage = Template(USAGE[kind]).substitute(name=name).strip()
    click.echo(f"wrote {folder}; next:")
    for line in (f"pip install -e {folder}", f"vf explain {kind} {name}", f"pytest {folder}", usage):
        click.echo(f"  {line}")


def _check(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name.startswith("vf_") or name == "vf":
        raise RunError(
            f"plugin name {name!r}: expected small letters, digits and _, beginning with a letter, not vf or vf_…"
        )


def write(folder: Path, name: str, kind: str) -> None:
    """Fill in the templates of a kind."""
    words = {
        "name": name,
        "dist": name.replace("_", "-"),
        "kind": kind,
        "cls": "".join(part.capitalize() for part in name.split("_")),
        "usage": Template(USAGE[kind]).substitute(name=name),
    }
    targets = {
        "common/pyproject.tmpl": "pyproject.toml",
        "common/README.tmpl": "README.md",
        f"{kind}/init.tmpl": f"{name}/__init__.py",
        f"{kind}/impl.tmpl": f"{name}/{name}.py",
        f"{kind}/test.tmpl": f"tests/test_{name}.py",
    }
    for source, target in targets.items():
        template = TEMPLATE / source
        if not template.is_file():
            continue  # a launcher is one file
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Template(template.read_text(encoding="utf-8")).substitute(words), encoding="utf-8")
    (folder / name / "py.typed").touch()
