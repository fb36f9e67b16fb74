"""The frame of every page: style, script and data in one file. What comes from data is escaped here."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import attrs
from PIL.Image import Image as Picture
from PIL.Image import Resampling

from vf.errors import RunError
from vf.prediction_files import aside

QUALITY = 88
"""Of JPEG."""
POLICY = (
    "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing is loaded from anywhere; pictures that lie beside a page are its own."""


@attrs.frozen
class Section:
    """A part of a page, with a link to it at the top."""

    id: str
    title: str
    body: str
    """HTML."""


def text(value: object) -> str:
    """Return text as HTML."""
    return html.escape(str(value), quote=True)


def document(  # each argument is a part of the page
    title: str,
    *,
    lead: str,
    sections: Sequence[Section],
    figures: Mapping[str, Any] | None = None,
    foot: str = "",
    policy: str = POLICY,
    style: str = "",
    script: str = "",
) -> str:
    """Return a whole page.

    Args:
        title: text.
        lead: HTML below the title.
        sections: what the page holds; one alone goes without a heading.
        figures: plain data of what :func:`figure` leaves a place for, by its key.
        foot: HTML at the end.
        policy: what the page may load.
        style, script: of its own, after those of every page.
    """
    own = files("vf.pages")
    common, *scripts = ((own / name).read_text(encoding="utf-8") for name in ("page.css", "charts.js", "figures.js"))
    data = json.dumps(figures or {}, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    several = len(sections) > 1
    links = "".join(f'<a href="#{s.id}">{text(s.title)}</a>' for s in sections)
    nav = f'<nav class="sections">{links}</nav>' if several else ""
    heads = [f"<h2>{text(s.title)}</h2>\n" if several else "" for s in sections]
    body = "\n".join(
        f'<section id="{s.id}">\n{head}{s.body}\n</section>' for head, s in zip(heads, sections, strict=True)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<link rel="icon" href="data:,">\n<title>{text(title)}</title>\n<style>\n{common}{style}</style>\n'
        f'</head>\n<body>\n<header class="top">\n<h1>{text(title)}</h1>\n{lead}\n</header>\n'
        f"{nav}\n<main>\n{body}\n</main>\n"
        f"<footer>{foot}</footer>\n"
        f'<script type="application/json" id="vf-data">{data}</script>\n'
        + "\n".join(f"<script>\n{script}</script>" for script in filter(None, [*scripts, script]))
        + "\n</body>\n</html>\n"
    )


def write(path: Path, page: str) -> None:
    """Write a page, whole or not at all; RunError where the disk refuses."""
    # Names of files need not be UTF-8: what is not becomes a question mark.
    with aside(path) as fresh:
        fresh.write_bytes(page.encode("utf-8", "replace"))


def figure(key: str, *, wide: bool = False) -> str:
    """Return the place of a chart, whose data stands under ``key``."""
    return f'<figure class="card{" wide" if wide else ""}" data-figure="{text(key)}"></figure>'


def grid(parts: Iterable[str]) -> str:
    """Lay cards beside each other, as many as there is room for."""
    return '<div class="grid">\n' + "\n".join(parts) + "\n</div>"


def flow(parts: Iterable[str]) -> str:
    """Lay cards of different heights in two columns, from top to bottom."""
    return '<div class="flow">\n' + "\n".join(parts) + "\n</div>"


def card(title: str, body: str, *, wide: bool = False, filtered: bool = False) -> str:
    """Return HTML under a heading; ``filtered``: with a field that filters the rows of its table."""
    return (
        f'<div class="card{" wide" if wide else ""}"{" data-filter" if filtered else ""}>'
        f'<div class="bar-top"><h3>{text(title)}</h3></div>\n<div class="scroll">{body}</div></div>'
    )


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    """Return (label, value) pairs as tiles."""
    cells = (f'<div class="tile"><b>{text(value)}</b><span>{text(label)}</span></div>' for label, value in facts)
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    code: Sequence[int] = (),
    marked: Sequence[int] = (),
    numbers: bool = True,
) -> str:
    """Return a table of text.

    Args:
        head: one for each column.
        rows: of text.
        code: columns that are set as code.
        marked: rows that stand out.
        numbers: set columns that hold numbers to the right, but the first one.
    """
    right = {i for i in range(1, len(head)) if numbers and any(_is_number(row[i]) for row in rows)}
    classes = ["code" if i in code else "number" if i in right else "" for i in range(len(head))]
    own = [f' class="{name}"' if name else "" for name in classes]
    titles = "".join(f"<th{kind}>{text(name)}</th>" for kind, name in zip(own, head, strict=True))
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(f"<td{kind}>{text(cell)}</td>" for kind, cell in zip(own, row, strict=True))
        lines.append(f"<tr{' class=differs' if number in marked else ''}>{cells}</tr>")
    body = "\n".join(lines)
    return f"<table><thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n</tbody></table>"


def _is_number(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] == "-"


def gallery(figures: Sequence[str], title: str = "") -> str:
    """Return pictures that can be filtered and enlarged; each is one of :func:`pictured`."""
    heading = f"<h3>{text(title)}</h3>" if title else ""
    body = "\n".join(figures)
    return f'<div data-gallery><div class="bar-top">{heading}</div>\n<div class="gallery">\n{body}\n</div></div>'


def pictured(source: str, size: tuple[int, int], name: str, caption: str, *, group: str = "") -> str:
    """Return one picture of a gallery.

    Args:
        source: address of the picture.
        size: its width and height.
        name: what it is of, text.
        caption: HTML.
        group: it can be filtered by.
    """
    own = f' data-group="{text(group)}"' if group else ""
    return (
        f'<figure{own}><img src="{text(source)}" width="{size[0]}" height="{size[1]}" loading="lazy" '
        f'alt="{text(name)}"><figcaption>{caption}</figcaption></figure>'
    )


def jpeg(picture: Picture, most: int | None = None) -> tuple[bytes, tuple[int, int]]:
    """Return a picture as JPEG, its longer side at most ``most`` px, and its width and height."""
    if most is not None and max(picture.size) > most:
        ratio = most / max(picture.size)
        size = (max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio)))
        picture = picture.resize(size, Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue(), picture.size


def inlined(content: bytes, kind: str = "image/jpeg") -> str:
    """Return content as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def refuse_taken(path: Path, option: str) -> None:
    """Raise RunError where something that is not a page lies at ``path``."""
    if path.is_dir():
        raise RunError(f"{option} {path}: is a folder; name a file that ends in .html")
    if path.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"{option} {path}: expected a name that ends in .html")
