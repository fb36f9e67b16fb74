"""``vf report``: one page about one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs

from vf import __version__
from vf.console import Console
from vf.engine.precision import pick_device
from vf.errors import VFError
from vf.history import History
from vf.launch import Measurement
from vf.measure import Measured, measure
from vf.pages import page
from vf.protocols import Split
from vf.recipes import Recipe, from_text
from vf.report import data_parts, measured_parts, run_parts
from vf.report.looking import Looking
from vf.runs import RECIPE, find_weights, is_run, run_of
from vf.surroundings import surroundings

PAGE = "report.html"
PREDICTIONS = "predictions"
SAVED = (".json", ".parquet")


@attrs.frozen(kw_only=True)
class Asked:
    """What ``vf report`` is asked for."""

    run: str
    """A run folder or something in it."""
    out: str = ""
    """The page; empty: report.html in the run folder."""
    images: int | None = None
    """To measure, evenly spread over the split; nothing: all."""
    predict: bool = True
    """Measure."""
    predictions: str = ""
    """File of predictions, instead of running the model."""
    data: str | None = None
    """Folder to measure on, instead of the recipe's data."""
    split: Split | None = None
    device: str = "auto"
    statistics: bool = True
    """Count the data."""


@attrs.define
class _Parts:
    """A page as it grows."""

    sections: list[page.Section] = attrs.field(factory=list)
    figures: dict[str, dict[str, Any]] = attrs.field(factory=dict)

    def add(self, title: str, body: str) -> None:
        if body:
            self.sections.append(page.Section(title.lower().replace(" ", "-"), title, body))

    def charts(self, charts: dict[str, dict[str, Any]], *, wide: tuple[str, ...] = ()) -> list[str]:
        """Take charts; return their places."""
        self.figures |= charts
        return [page.figure(key, wide=key in wide) for key in charts]


def write_report(asked: Asked, console: Console) -> Path:
    """Write the page and return where it lies.

    What cannot be had is left out and said, on the page too: a run without checkpoint is not measured, one whose data
    are gone has no statistics.

    Raises:
        RunError: there is no such run, or the page cannot be written.
        VFError: what was asked for by name (predictions, data, split) cannot be used.
    """
    run = Path(asked.run) if is_run(Path(asked.run)) else run_of(asked.run)
    out = Path(asked.out) if asked.out else run / PAGE
    page.refuse_taken(out, "--out")
    history, parts = History.read(run), _Parts()
    looking, measured = Looking(), None
    if asked.predict:
        named = bool(asked.predictions or asked.data or asked.split)
        measured = _try(lambda: _measure(asked, run, looking, console), "not measured", named, console)
    result = measured if isinstance(measured, Measured) else None
    _curves(parts, history)
    _measured(parts, history, result, looking, console, problem=measured if isinstance(measured, str) else "")
    if asked.statistics:
        told = _try(lambda: data_parts.statistics(_recipe(run).data, parts.figures), "not counted", False, console)
        parts.add("Data", told)
    now = surroundings(pick_device(asked.device)) if result is not None and not asked.predictions else None
    parts.add("Environment", run_parts.environment(history.starts, now))
    parts.add("Recipe", run_parts.recipe(history))
    page.write(out, _page(history, parts))
    return out


def _try(do: Callable[[], Any], what: str, named: bool, console: Console) -> Any:
    """Return what comes of it, else a note for the page; what was asked for by name has to work."""
    try:
        return do()
    except VFError as error:
        if named:
            raise
        console.say(f"warning: {what}: {error.problems[0]}")
        return "".join(f'<p class="note">{what}: {page.text(problem)}</p>' for problem in error.problems)


def _measure(asked: Asked, run: Path, looking: Looking, console: Console) -> Measured:
    weights = find_weights(str(run)) if not asked.predictions else None
    saved = asked.predictions or (str(found) if weights and (found := _saved(run, weights)) else "")
    wanted = Measurement(
        checkpoint="" if saved else str(weights),
        predictions=saved,
        data=asked.data,
        split=asked.split,
        device=asked.device,
    )
    return measure(wanted, console, images=asked.images, watch=looking)


def _saved(run: Path, weights: Path) -> Path | None:
    """Return the newest file of predictions in a run folder that is not older than its weights."""
    files = [file for file in sorted((run / PREDICTIONS).glob("*")) if file.suffix.lower() in SAVED]
    newest = max(files, key=lambda file: file.stat().st_mtime, default=None)
    return newest if newest and newest.stat().st_mtime >= weights.stat().st_mtime else None


def _recipe(run: Path) -> Recipe:
    path = run / RECIPE
    return from_text(path.read_text(encoding="utf-8", errors="replace"), str(path)).recipe


def _curves(parts: _Parts, history: History) -> None:
    damaged = f'<p class="note">{history.damaged} lines of the log cannot be read and are left out.</p>'
    charts = run_parts.charts({history.name: history})
    note = damaged if history.damaged else ""
    empty = "" if charts else '<p class="note">The run has logged nothing.</p>'
    parts.add("Curves", note + (empty or page.grid(parts.charts(charts))))


def _measured(  # each is one thing that the sections show
    parts: _Parts, history: History, result: Measured | None, looking: Looking, console: Console, *, problem: str
) -> None:
    column = None
    if result is not None:
        column = (f"{result.split}, {looking.count} images", result.evaluation.numbers)
    body = [card] if (card := run_parts.numbers(history, column)) else []
    if result is None:
        parts.add("Metrics", problem + (page.grid(body) if body else ""))
        return
    info = looking.tested.info if looking.tested else None
    names = (*info.classes, *info.stuff) if info else ()
    charts = measured_parts.tables(result.evaluation.tables, _recipe(history.folder).metrics, names) | looking.charts()
    if (scores := measured_parts.scores(looking)) is not None:
        charts["scores"] = scores
    said = f'<p class="soft">Measured for this page: {page.text(result.model)} on {looking.count} images of split '
    parts.add("Metrics", f"{said}{page.text(result.split)}.</p>" + page.flow([*body, *parts.charts(charts)]))
    if looking.values:
        say = (
            f'<p class="soft">Labels at the left, predictions at the right; each image is scored by the '
            f"{page.text(looking.metric)} of that image alone. Click to enlarge.</p>"
        )
        parts.add("Images", say + measured_parts.images(looking, console))


def _page(history: History, parts: _Parts) -> str:
    job = run_parts.job_of(history)
    values = run_parts.recipe_of(history)
    facts = [str(values[key]) for key in ("task", "model.name", "data.name") if key in values]
    source = [f"recipe {job.source}"] if job and job.source else []
    lead = f'<p class="soft">{page.text(" · ".join([*facts, *source]))}</p>{run_parts.overview(history)}'
    return page.document(
        history.name, lead=lead, sections=parts.sections, figures=parts.figures, foot=f"vf {__version__}"
    )
