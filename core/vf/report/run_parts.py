"""What a run's own folder tells: curves, numbers, where it ran, its recipe."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import Any

from vf.console import duration, metric
from vf.errors import ConfigError, RunError
from vf.history import History, Record, curve, names
from vf.launch import Job
from vf.pages import page
from vf.recipes import from_text, leaves, resolve
from vf.runs import JOB, RECIPE
from vf.yaml12 import parse_file

RATES = {
    "lr": "Learning rate",
    "images_per_s": "Throughput, images/s",
    "data_wait": "Part of the time that waits for data",
    "grad_norm": "Norm of the gradient",
}
"""Keys of training records that have a chart of their own."""
VISIBLE = 6
"""Curves of one chart that are drawn at first."""
MOST_POINTS = 1200
"""Of a curve on a page; of longer ones the smallest and the largest value of each stretch are kept."""
AS_PARTS = 1.5
"""Metrics up to this size share an axis."""

Figures = dict[str, dict[str, Any]]


def thinned(points: Sequence[tuple[int, float]]) -> list[list[float]]:
    """Return few enough points of a curve, in order, its first and last among them."""
    if len(points) <= MOST_POINTS:
        return [[x, y] for x, y in points]
    kept: dict[int, float] = {points[0][0]: points[0][1]}
    stretch = -(-2 * len(points) // MOST_POINTS)
    for start in range(0, len(points), stretch):
        part = points[start : start + stretch]
        for x, y in sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}):
            kept[x] = y
    kept[points[-1][0]] = points[-1][1]
    return [[x, y] for x, y in kept.items()]


def losses_of(records: Sequence[Record]) -> tuple[list[str], list[str]]:
    """Return the keys of the loss and its parts, and those of other numbers that are logged of training.

    A part of a loss is nowhere larger than the whole; a count of positives, say, is no part of it.
    """
    parts: list[str] = []
    others: list[str] = []
    for key in names(records):
        if key in RATES:
            continue
        whole = dict(curve(records, "loss"))
        own = curve(records, key)
        fits = all(step in whole and abs(value) <= abs(whole[step]) * 1.000001 + 1e-9 for step, value in own)
        (parts if fits else others).append(key)
    return parts, others


def charts(histories: Mapping[str, History]) -> Figures:
    """Return the charts of one run, or of several laid over each other, by key.

    Args:
        histories: by the name of the run; the name is left out where there is one alone.
    """
    figures: Figures = {}
    train = [record for history in histories.values() for record in history.train]
    val = [record for history in histories.values() for record in history.val]
    parts = list(dict.fromkeys(key for h in histories.values() for key in losses_of(h.train)[0]))
    others = [key for key in names(train) if key not in RATES and key not in parts]
    _add(figures, "losses", "Losses", histories, parts, kind="train")
    small = [key for key in names(val) if all(abs(v) <= AS_PARTS for _, v in curve(val, key))]
    _add(figures, "metrics", "Metrics", histories, small, kind="val")
    for key in names(val):
        if key not in small:
            _add(figures, f"metric {key}", key, histories, [key], kind="val")
    for key in (*RATES, *others):
        _add(figures, f"train {key}", RATES.get(key, key), histories, [key], kind="train")
    return figures


def _add(  # each word is one of a chart's
    figures: Figures, place: str, title: str, histories: Mapping[str, History], keys: Sequence[str], *, kind: str
) -> None:
    """Add a chart where there is anything to draw: a colour for each run, or for each key of a run alone."""
    series: list[dict[str, Any]] = []
    several = len(histories) > 1
    for number, key in enumerate(keys):
        for colour, (name, history) in enumerate(histories.items()):
            points = thinned(curve(history.train if kind == "train" else history.val, key))
            if not points:
                continue
            label = (f"{name} · {key}" if len(keys) > 1 else name) if several else key
            one: dict[str, Any] = {"name": label, "points": points, "hidden": number >= (1 if several else VISIBLE)}
            if several:
                one |= {"colour": colour, "dash": "" if number == 0 else f"{1 + 3 * number} 3"}
            series.append(one)
    if series:
        figures[place] = {"kind": "lines", "title": title, "series": series}


def overview(history: History, extra: Sequence[tuple[str, str]] = ()) -> str:
    """Return the tiles at the head of a page."""
    best, rate, seconds = history.best(), history.images_per_s(), history.seconds()
    facts = [("state", history.state()), ("last step", "-" if history.step is None else str(history.step))]
    if best is not None:
        facts.append((f"best {best.metric}, at step {best.step}", f"{best.value:.4f}"))
    if seconds is not None:
        facts.append(("time", duration(seconds)))
    if rate is not None:
        facts.append(("images/s in training, median", f"{rate:.1f}"))
    return page.tiles([*facts, *extra])


def numbers(history: History, measured: tuple[str, Mapping[str, float | None]] | None) -> str:
    """Return a table of all metrics: of the best and the last evaluation, and as measured for the page."""
    best = history.best()
    columns: list[tuple[str, Mapping[str, float | None]]] = []
    if best is not None:
        columns.append((f"best, step {best.step}", history.at(best.step)))
    if history.val and (best is None or history.val[-1]["step"] != best.step):
        columns.append((f"last, step {history.val[-1]['step']}", history.at(history.val[-1]["step"])))
    if measured is not None:
        columns.append(measured)
    keys = list(dict.fromkeys(key for _, values in columns for key in values))
    if not keys:
        return ""
    rows = [(key, *(metric(values[key]) if key in values else "-" for _, values in columns)) for key in keys]
    return page.card("Metrics", page.table(["metric", *(name for name, _ in columns)], rows))


def environment(starts: Sequence[Record], now: Mapping[str, Any] | None = None) -> str:
    """Return a table with a column for each start of the run, and one for what measured for the page."""
    columns = [(_when(start), start) for start in starts]
    if now is not None:
        columns.append(("measured here", now))
    if not columns:
        return '<p class="note">The run did not write down where it ran: it was made by an older vf.</p>'
    flat = [(name, {**facts, **facts.get("plugins", {})}) for name, facts in columns]
    keys = list(dict.fromkeys(key for _, facts in flat for key in facts if key not in ("time", "plugins")))
    rows = [(key, *(plain(facts.get(key, "-")) for _, facts in flat)) for key in keys]
    marked = [i for i, row in enumerate(rows) if len(set(row[1:])) > 1 and row[0] != "step"]
    return page.card("Where it ran", page.table(["", *(name for name, _ in flat)], rows, marked=marked, numbers=False))


def _when(start: Record) -> str:
    when = datetime.datetime.fromtimestamp(float(start["time"]), datetime.UTC)
    return f"{'resumed' if start.get('step') else 'started'} {when:%Y-%m-%d %H:%M} UTC"


def plain(value: object) -> str:
    """Return a leaf of a recipe as text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def recipe(history: History) -> str:
    """Return the recipe of a run with where each of its values was set."""
    values = recipe_of(history)
    origins = _origins(history, values)
    rows = [(key, plain(value), origins.get(key, "default")) for key, value in values.items()]
    marked = [i for i, row in enumerate(rows) if row[2] != "default"]
    table = page.table(["key", "value", "set by"], rows, code=(0, 1, 2), marked=marked)
    return page.card(f"{history.name}/{RECIPE}", table, wide=True, filtered=True)


def recipe_of(history: History) -> dict[str, Any]:
    """Return the leaves of a run's recipe, with the defaults of today where it can be read with them."""
    path = history.folder / RECIPE
    try:
        return dict(leaves(from_text(path.read_text(encoding="utf-8"), str(path)).plain()))
    except (ConfigError, UnicodeDecodeError):
        return dict(leaves(parse_file(path).plain()))


def _origins(history: History, values: Mapping[str, Any]) -> dict[str, str]:
    """Return where keys were set that have not their default: as written down, else by the recipe that was named."""
    job = job_of(history)
    if job is None:
        return {}
    if job.origins:
        return dict(job.origins)
    try:
        told = {key: (value, where) for key, value, where in resolve(job.source).origins()}
    except ConfigError:
        return {}
    return {
        key: told[key][1] if key in told and told[key][0] == value else "set for this run"
        for key, value in values.items()
        if key not in told or told[key][0] != value or told[key][1] != "default"
    }


def job_of(history: History) -> Job | None:
    """Return what started a run; None where that cannot be read."""
    try:
        return Job.read(history.folder / JOB)
    except RunError:
        return None
