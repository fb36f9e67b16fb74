"""A real Chromium without a window, and pages to look at in it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
WIDTHS = (1280, 390)


# Of a module, not of the session: as long as it is open, its driver runs an event loop in this thread, and tests in
# other files may not start one.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser. ``VF_CHROMIUM`` names another one, ``VF_SCREENSHOTS`` a folder to keep what was seen in."""
    program = os.environ.get("VF_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine; install one, as with 'apt-get install chromium'")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@attrs.define
class Look:
    """A page that is open, and what went wrong in it."""

    page: Any
    problems: list[str]

    def count(self, selector: str) -> int:
        """How many elements can be seen."""
        return int(self.page.locator(selector).locator("visible=true").count())

    def fits(self) -> bool:
        """Whether nothing sticks out at the right."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def look(chromium: Any) -> Iterator[Any]:
    """Return a function that opens an address or a file at a width; nothing may be said on the console at the end."""
    looks: list[Look] = []

    def open_(where: Path | str, width: int = 1280, **options: Any) -> Look:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        page, problems = context.new_page(), []
        page.set_default_timeout(10_000)
        page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: problems.append(f"error: {error}"))
        address = where.resolve().as_uri() if isinstance(where, Path) else where
        own = address.partition("//")[2].partition("/")[0]
        asked = lambda request: request.url.startswith(("data:", "blob:")) or own in request.url  # noqa: E731
        page.on("request", lambda request: asked(request) or problems.append(f"asked for {request.url}"))
        page.goto(address)
        page.wait_for_selector("body[data-ready=yes]", state="attached")
        looks.append(Look(page, problems))
        return looks[-1]

    yield open_
    for one in looks:
        one.page.context.close()
        assert one.problems == []


@pytest.fixture
def keep(request: pytest.FixtureRequest) -> Any:
    """Return a function that keeps a picture of a whole page, where VF_SCREENSHOTS says so."""
    folder = os.environ.get("VF_SCREENSHOTS")

    def save(look: Look, name: str) -> None:
        if folder:
            path = Path(folder) / f"{name}.png"
            look.page.evaluate("document.querySelectorAll('img').forEach((img) => { img.loading = 'eager'; })")
            look.page.screenshot(path=path, full_page=True)

    return save


def records() -> list[dict[str, Any]]:
    """Return a log: 50 steps, three evaluations."""
    found: list[dict[str, Any]] = []
    for step in range(1, 51):
        loss = {"loss": 2 / step + 0.5, "box": 1 / step + 0.25, "cls": 1 / step + 0.25, "positives": 30.0 + step}
        rates = {"lr": 0.01 * (50 - step) / 50, "images_per_s": 40.0 + step % 5, "data_wait": 0.01}
        found.append({"kind": "train", "step": step, "epoch": step / 10, **loss, **rates, "time": 100.0 + step})
        if step % 20 == 0 or step == 50:
            found.append({"kind": "val", "step": step, "epoch": step / 10, "AP": step / 100, "AP50": step / 60})
    return found


def make_run(folder: Path, recipe: str, *overrides: str) -> Path:
    """Make the folder of a run whose model has learnt nothing."""
    import torch

    from vf.engine import checkpoint
    from vf.recipes import resolve

    resolved = resolve(recipe, overrides=overrides)
    torch.manual_seed(0)
    info = resolved.recipe.data.info()
    model = resolved.recipe.model.build(info)
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(resolved.yaml(), encoding="utf-8")
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records()))
    (folder / "environment.jsonl").write_text(json.dumps({"time": 100.0, "vf": "0.1.0", "device": "cpu"}) + "\n")
    saved = checkpoint.write(
        folder / "checkpoints",
        50,
        tensors=dict(model.state_dict()),
        recipe=resolved.yaml(),
        info=info,
        trainer={"step": 50},
    )
    checkpoint.point(folder / "checkpoints", "last", saved)
    return folder


CLS = ("data.train=20", "data.val=10", "data.test=30", "data.size=32")


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of classification."""
    pytest.importorskip("vf_cls")
    return make_run(tmp_path_factory.mktemp("runs") / "cls-001", "cls/quickstart", *CLS)
