"""What the data of a run hold, as ``vf data stats`` counts them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vf.data.statistics import rows_of_counts, rows_of_spreads, told_of
from vf.pages import page
from vf.protocols import DatasetConfig


def statistics(data: DatasetConfig, figures: dict[str, dict[str, Any]]) -> str:
    """Return tables, and put a chart of the classes into ``figures``; VFError where the data cannot be read."""
    told, info = told_of(data), data.info()
    notes = "".join(f'<p class="note">{page.text(note)}</p>' for note in info.notes)
    parts = [page.card("Images", _table(rows_of_counts(told)))]
    spreads = rows_of_spreads(told)
    if len(spreads) > 1:
        parts.append(page.card("Sizes", _table(spreads)))
    chart = _classes(told)
    if chart is not None:
        figures["data classes"] = chart
        parts.append(page.figure("data classes", wide=True))
    return notes + page.flow(parts[:2]) + page.grid(parts[2:])


def _table(rows: list[tuple[str, ...]]) -> str:
    return page.table(rows[0], rows[1:])


def _classes(told: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return bars of the objects, or of the share of the pixels, of each class in each split."""
    splits = [split for split, facts in told.items() if facts.get("classes")]
    if not splits:
        return None
    classes = list(told[splits[0]]["classes"])
    what = "pixels" if "pixels" in told[splits[0]]["classes"][classes[0]] else "objects"
    sums = {split: max(1, sum(own[what] for own in told[split]["classes"].values())) for split in splits}
    rows = []
    for name in classes:
        counts = [int(told[split]["classes"][name][what]) for split in splits]
        shares = [100 * count / sums[split] for count, split in zip(counts, splits, strict=True)]
        texts = [f"{count} ({share:.1f} %)" for count, share in zip(counts, shares, strict=True)]
        rows.append({"name": name, "values": shares, "texts": texts})
    title = f"Part of the {what} that each class has, %"
    return {"kind": "bars", "title": title, "rows": rows, "series": splits}
