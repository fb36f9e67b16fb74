"""``vf runs compare --html``: runs laid over each other on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vf import __version__
from vf.comparison import Compared, Comparison
from vf.pages import page
from vf.report.run_parts import charts, plain


def write_comparison(comparison: Comparison, out: Path) -> None:
    """Write the page; RunError where it cannot be written."""
    page.refuse_taken(out, "--html")
    runs = {run.name: run.history for run in comparison.runs}
    figures = charts(runs)
    sections = [_section("Runs", _table(comparison))]
    if figures:
        sections.append(_section("Curves", page.grid(page.figure(key) for key in figures)))
    if (bars := _metrics(comparison)) is not None:
        figures["compared"] = bars
        sections.append(_section("Metrics", _numbers(comparison) + page.grid([page.figure("compared", wide=True)])))
    sections.append(_section("Recipes", _recipes(comparison)))
    count = len(comparison.runs)
    lead = f'<p class="soft">{count} run{"s" * (count != 1)}, {len(comparison.keys)} keys of the recipes differ</p>'
    title = " · ".join(runs) if count <= 4 else f"{count} runs"
    page.write(out, page.document(title, lead=lead, sections=sections, figures=figures, foot=f"vf {__version__}"))


def _section(title: str, body: str) -> page.Section:
    return page.Section(title.lower(), title, body)


def _table(comparison: Comparison) -> str:
    head, *rows = comparison.table()
    return page.card("What differs, and what came of it", page.table(head, rows), wide=True)


def _best(run: Compared) -> Mapping[str, float | None]:
    best = run.history.best()
    return run.history.at(best.step) if best else {}


def _numbers(comparison: Comparison) -> str:
    """Return the metrics of the best evaluation of each run."""
    runs = comparison.runs
    values = [_best(run) for run in runs]
    keys = dict.fromkeys(key for own in values for key in own)
    rows = [(key, *("-" if (v := own.get(key)) is None else f"{v:.4f}" for own in values)) for key in keys]
    marked = [i for i, row in enumerate(rows) if len(set(row[1:])) > 1]
    return page.card("At the best step of each", page.table(["metric", *(r.name for r in runs)], rows, marked=marked))


def _metrics(comparison: Comparison) -> dict[str, Any] | None:
    """Return the metrics between 0 and 1 as bars, a colour for each run."""
    values = [_best(run) for run in comparison.runs]
    keys = dict.fromkeys(key for own in values for key in own)
    shown = [key for key in keys if all((v := own.get(key)) is None or 0 <= v <= 1 for own in values)]
    rows = [{"name": key, "values": [own.get(key) for own in values]} for key in shown]
    if not rows:
        return None
    names = [run.name for run in comparison.runs]
    return {"kind": "bars", "title": "At the best step of each", "rows": rows, "most": 1, "series": names}


def _recipes(comparison: Comparison) -> str:
    """Return all keys of all recipes; those that differ stand out."""
    runs = comparison.runs
    keys = list(dict.fromkeys(key for run in runs for key in run.recipe))
    rows = [(key, *(plain(run.recipe[key]) if key in run.recipe else "-" for run in runs)) for key in keys]
    marked = [i for i, key in enumerate(keys) if key in comparison.keys]
    table = page.table(["key", *(r.name for r in runs)], rows, code=range(len(runs) + 1), marked=marked)
    return page.card("recipe.yaml", table, wide=True, filtered=True)
