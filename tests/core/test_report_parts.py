"""Parts of a report: curves, tables, what is escaped, which images are the worst."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from vf.errors import RunError
from vf.history import History
from vf.pages import page
from vf.protocols import DatasetInfo, Predicted
from vf.report.looking import Extremes, Looking, Seen, spread, sureness
from vf.report.measured_parts import tables
from vf.report.run_parts import MOST_POINTS, charts, environment, losses_of, overview, thinned

EVIL = "<b>\"'&</script>"


def history(*train: dict[str, Any], val: tuple[dict[str, Any], ...] = ()) -> History:
    return History(folder=Path("runs/a"), train=train, val=val)


def test_what_comes_from_data_is_escaped() -> None:
    safe = "&lt;b&gt;&quot;&#x27;&amp;&lt;/script&gt;"
    assert page.text(EVIL) == safe
    for made in (
        page.table([EVIL], [(EVIL,)]),
        page.tiles([(EVIL, EVIL)]),
        page.card(EVIL, ""),
        page.figure(EVIL),
        page.pictured(EVIL, (1, 1), EVIL, "", group=EVIL),
        page.gallery([], EVIL),
    ):
        assert EVIL not in made
        assert safe in made
    whole = page.document(EVIL, lead="", sections=[], figures={"a": {"title": EVIL}})
    assert EVIL not in whole
    assert "\\u003c/script>" in whole


def test_numbers_stand_at_the_right() -> None:
    made = page.table(["a", "b", "c"], [("x", "1", "y"), ("2", "n/a", "z")])
    assert made.count('class="number"') == 3  # the heading and two cells of one column
    assert 'class="number"' not in page.table(["a", "b"], [("x", "1")], numbers=False)


def test_large_pictures_are_made_smaller() -> None:
    content, size = page.jpeg(Image.new("RGBA", (400, 100)), 200)
    assert size == (200, 50)
    assert content.startswith(b"\xff\xd8")
    assert page.jpeg(Image.new("L", (1, 1)), 200)[1] == (1, 1)


@pytest.mark.parametrize(
    ("name", "said"), [("folder.html", "is a folder"), ("page.txt", "expected a name that ends in .html")]
)
def test_a_page_is_called_so(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(RunError, match=rf"--out .*{name}: {said}"):
        page.refuse_taken(tmp_path / name, "--out")


def test_long_curves_keep_their_ends_and_peaks() -> None:
    points = [(step, 0.0) for step in range(100_000)]
    points[777] = (777, 5.0)
    points[-1] = (99_999, 1.0)
    kept = thinned(points)
    assert len(kept) <= MOST_POINTS + 2
    assert kept[0] == [0, 0.0]
    assert [777, 5.0] in kept
    assert kept[-1] == [99_999, 1.0]
    assert kept == sorted(kept)
    assert thinned([]) == []
    assert thinned([(3, 1.0)]) == [[3, 1.0]]


def test_a_part_of_the_loss_is_nowhere_larger_than_it() -> None:
    records = ({"step": 1, "loss": 3.0, "box": 2.0, "num_pos": 40.0, "lr": 0.1}, {"step": 2, "loss": 1.0, "box": 1.0})
    assert losses_of(records) == (["loss", "box"], ["num_pos"])
    assert losses_of(()) == ([], [])


def test_curves_of_one_run_and_of_two() -> None:
    one = history({"step": 1, "loss": 3.0, "lr": 0.1}, val=({"step": 1, "AP": 0.5, "support": 500.0},))
    figures = charts({"a": one})
    assert list(figures) == ["losses", "metrics", "metric support", "train lr"]
    assert figures["losses"]["series"] == [{"name": "loss", "points": [[1, 3.0]], "hidden": False}]
    both = charts({"a": one, "b": one})
    assert [one["name"] for one in both["losses"]["series"]] == ["a", "b"]
    assert [one["colour"] for one in both["losses"]["series"]] == [0, 1]
    assert charts({"a": history()}) == {}


def test_an_empty_run_has_tiles_and_says_that_it_was_made_by_an_older_vf() -> None:
    assert "no checkpoint" in overview(history())
    assert "older vf" in environment(())
    told = environment([{"time": 0.0, "vf": "0.1.0", "plugins": {"p": "1"}}, {"time": 60.0, "vf": "0.2.0", "step": 5}])
    assert "started 1970-01-01 00:00 UTC" in told
    assert "resumed 1970-01-01 00:01 UTC" in told
    assert told.count("class=differs") == 2  # vf, and the plugin that is there once; steps differ by nature


def test_rows_of_metrics_become_bars_of_classes() -> None:
    rows = [
        ("AP fire truck", 0.5),
        ("AP truck", None),
        ("truck recall", 0.25),
        ("truck support", 7.0),
        ("cat → dog", 3.0),
        ("odd", float("nan")),
    ]
    figures = tables({"Some": rows, "None": []}, (), ("truck", "fire truck"))
    assert [(f["title"], f["rows"]) for f in figures.values()] == [
        (
            "Some in detail: AP, recall",
            [{"name": "truck", "values": [None, 0.25]}, {"name": "fire truck", "values": [0.5, None]}],
        ),
        ("Some in detail: support", [{"name": "truck", "values": [7.0]}]),
        ("Some in detail", [{"name": "cat → dog", "values": [3.0]}, {"name": "odd", "values": [None]}]),
    ]


def seen(place: int, value: float) -> Seen:
    return Seen(place=place, predicted=Predicted(id="", size=(1, 1), prediction={}), value=value, sureness=None)


def test_the_worst_images_are_kept_and_no_more() -> None:
    kept = Extremes()
    for place in range(100):
        kept.take((float(place % 10),), seen(place, 0.0))
    assert [one.place for one in kept.images()] == [*range(0, 100, 10), 1, 11]


def test_sureness() -> None:
    assert sureness({"probabilities": torch.tensor([0.25, 0.75])}) == 0.75
    assert sureness({"score": torch.tensor(0.5)}) == 0.5
    assert sureness({"scores": torch.tensor([0.25, 0.5])}) == 0.5
    assert sureness({"scores": torch.zeros(0)}) is None
    assert sureness({"semantic": torch.zeros(2, 2)}) is None


def test_scores_in_parts() -> None:
    assert spread([0.0, 0.1, 0.95, 1.0], 10) == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]


def test_images_without_labels_are_counted_and_not_scored() -> None:
    class Nothing:
        info = DatasetInfo(classes=("a",), task="toy", num_samples={}, fingerprint="")
        labelled = False

    looking = Looking(tested=Nothing())  # type: ignore[arg-type]
    looking.take(0, Predicted(id="a", size=(1, 1), prediction={"text": "a"}), {})
    assert (looking.count, looking.values, looking.charts()) == (1, [], {})
