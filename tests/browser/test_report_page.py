"""The pages of vf report, vf runs compare and vf data browse in a real browser."""

from __future__ import annotations

import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from vf.comparison import compare
from vf.console import Console


@pytest.fixture(scope="session")
def report(run: Path) -> Path:
    from vf.report.write import Asked, write_report

    with Console(StringIO()) as console:
        return write_report(Asked(run=str(run), device="cpu"), console)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_report_shows_its_charts(look: Any, keep: Any, report: Path, width: int, scheme: str) -> None:
    seen = look(report, width, color_scheme=scheme)
    keep(seen, f"report-{width}-{scheme}")
    assert seen.fits()
    titles = seen.page.locator("figure h3").all_inner_texts()
    assert titles[:6] == [
        "Losses",
        "Metrics",
        "Learning rate",
        "Throughput, images/s",
        "Part of the time that waits for data",
        "positives",
    ]
    assert {"Precision over recall, one class against the others", "What is taken for what"} <= set(titles)
    losses = seen.page.locator("figure[data-figure=losses]")
    names = losses.locator("path.series").evaluate_all("all => all.map((one) => one.dataset.name)")
    assert names == ["loss", "box", "cls"]
    drawn = losses.locator("svg.plot").bounding_box()
    assert 0.6 * min(width, 630) < drawn["width"] <= width
    assert seen.count("rect[data-cell]") == 25  # five classes
    assert seen.count(".gallery figure") > 6


def test_the_pointer_shows_values_and_a_drag_zooms(look: Any, report: Path) -> None:
    seen = look(report)
    figure = seen.page.locator("figure[data-figure=losses]")
    figure.scroll_into_view_if_needed()
    box = figure.locator("svg.plot").bounding_box()
    middle, height = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seen.page.mouse.move(middle, height)
    tip = figure.locator(".tip").inner_text()
    step = int(re.match(r"step (\d+)", tip).group(1))
    assert f"loss {2 / step + 0.5:.4g}" in tip.replace("loss 0.5800", "loss 0.58")
    whole = figure.locator("path.series").first.get_attribute("d")
    seen.page.mouse.down()
    seen.page.mouse.move(middle + 120, height, steps=4)
    seen.page.mouse.up()
    low, high = map(float, figure.get_attribute("data-zoom").split())
    assert 1 < low < high < 50
    assert figure.locator("path.series").first.get_attribute("d") != whole
    figure.get_by_role("button", name="all", exact=True).click()
    assert figure.get_attribute("data-zoom") == ""
    assert figure.locator("path.series").first.get_attribute("d") == whole


def test_the_legend_hides_and_the_log_scale_stretches(look: Any, report: Path) -> None:
    seen = look(report)
    figure = seen.page.locator("figure[data-figure=losses]")
    whole = figure.locator("path.series").first.get_attribute("d")
    figure.locator(".legend button", has_text="box").click()
    assert figure.locator("path.series").count() == 2
    figure.locator(".legend button", has_text="box").click()
    figure.get_by_role("button", name="log").click()
    assert figure.locator("path.series").first.get_attribute("d") != whole


def test_images_are_filtered_and_enlarged(look: Any, report: Path) -> None:
    seen = look(report)
    every = seen.count(".gallery figure")
    seen.page.get_by_role("button", name="worst", exact=True).click()
    worst = seen.count(".gallery figure")
    assert 0 < worst < every
    seen.page.get_by_role("button", name="all", exact=True).last.click()
    name = seen.page.locator(".gallery figcaption b").first.inner_text()
    seen.page.get_by_label("filter images").fill(name.upper())
    assert seen.count(".gallery figure") == 1
    seen.page.get_by_label("filter images").fill("no such image")
    assert seen.count(".gallery figure") == 0
    seen.page.get_by_label("filter images").fill("")
    seen.page.locator(".gallery img").first.click()
    dialog = seen.page.locator("dialog[open]")
    assert name in dialog.inner_text()
    first = dialog.locator("img").get_attribute("src")
    seen.page.keyboard.press("ArrowRight")
    assert dialog.locator("img").get_attribute("src") != first
    seen.page.keyboard.press("Escape")
    assert seen.page.locator("dialog[open]").count() == 0


def test_rows_of_the_recipe_are_filtered(look: Any, report: Path) -> None:
    seen = look(report)
    seen.page.get_by_label("filter rows").fill("optimizer.lr")
    assert seen.count("#recipe tbody tr") == 1


@pytest.mark.parametrize("width", [1280, 390])
def test_runs_laid_over_each_other(look: Any, keep: Any, run: Path, tmp_path: Path, width: int) -> None:
    from vf.report.comparing import write_comparison

    other = tmp_path / "cls-002"
    shutil.copytree(run, other)
    (other / "recipe.yaml").write_text((other / "recipe.yaml").read_text().replace("seed: 0", "seed: 1"))
    page = tmp_path / "compared.html"
    write_comparison(compare([run, other]), page)
    seen = look(page, width)
    keep(seen, f"compare-{width}")
    assert seen.fits()
    names = seen.page.locator("figure[data-figure=losses] path.series")
    assert names.evaluate_all("all => all.map((one) => one.dataset.name)") == ["cls-001 · loss", "cls-002 · loss"]
    assert seen.page.locator("#recipes tr.differs").all_inner_texts()


@pytest.mark.parametrize("beside", [False, True])
def test_samples_are_filtered_and_enlarged(look: Any, keep: Any, tmp_path: Path, beside: bool) -> None:
    pytest.importorskip("vf_cls")
    from vf.browse import as_labelled, write_page
    from vf.recipes import resolve

    data = resolve("cls/quickstart", overrides=("data.train=6", "data.size=32")).recipe.data
    page = tmp_path / "index.html"
    assert write_page(page, "samples", as_labelled(data, "train", number=4, seed=0), beside=beside) == 4
    seen = look(page, 390)
    keep(seen, f"browse-{beside}")
    assert seen.fits()
    loaded = seen.page.locator(".gallery img").evaluate_all("all => all.every((one) => one.naturalWidth > 0)")
    assert loaded
    name = seen.page.locator(".gallery figcaption b").first.inner_text()
    seen.page.get_by_label("filter images").fill(name)
    assert seen.count(".gallery figure") == 1
    seen.page.locator(".gallery img").first.click()
    assert name in seen.page.locator("dialog[open]").inner_text()


def test_names_of_data_stay_text(look: Any, tmp_path: Path) -> None:
    from PIL import Image

    from vf.browse import Drawn, write_page

    evil = "</script><img src=x onerror=console.log('run')>\"'&\udcff.jpg"
    drawn = Drawn(Image.new("RGB", (8, 8)), evil, (evil,), (("#ff0000", evil),))
    page = tmp_path / "page.html"
    write_page(page, evil, iter([drawn]), beside=False)
    seen = look(page)
    assert seen.page.locator("h1").inner_text() == evil.replace("\udcff", "?")
    seen.page.locator(".gallery img").click()
    assert seen.page.locator("dialog[open] img").count() == 1
