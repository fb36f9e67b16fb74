"""The page of vf demo in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("vf_cls")


@pytest.fixture(scope="module")
def address(run: Path) -> Iterator[str]:
    from vf.demo.serve import open_demo

    server = open_demo(str(run), device="cpu")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.port}/"
    server.shutdown()
    thread.join()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a <b>.png"
    Image.new("RGB", (40, 30), (200, 30, 30)).save(path)
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_an_image_is_shown_with_what_is_said(look: Any, keep: Any, address: str, image: Path, width: int) -> None:
    seen = look(address, width)
    assert seen.page.locator("h1").inner_text() == "cls-001"
    seen.page.set_input_files("#file", image)
    seen.page.wait_for_selector("#out:not([hidden])")
    keep(seen, f"demo-{width}")
    assert seen.fits()
    assert seen.page.locator("#caption").inner_text().startswith("a <b>.png · 40×30 px · ")
    assert seen.page.locator("#picture").evaluate("one => one.complete && one.naturalWidth > 0")
    assert seen.count("#said .bars .row") == 5
    assert '"classes"' in seen.page.locator("#json").text_content()
    assert seen.page.locator("#save-picture").get_attribute("download") == "a <b>.jpg"


def test_a_file_that_is_dropped_is_taken(look: Any, address: str, image: Path) -> None:
    seen = look(address)
    content = list(image.read_bytes())
    seen.page.evaluate(
        """(content) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(content)], "dropped.png", { type: "image/png" }));
            document.getElementById("zone").dispatchEvent(new DragEvent("drop", { bubbles: true, dataTransfer: data }));
        }""",
        content,
    )
    seen.page.wait_for_selector("#out:not([hidden])")
    assert "dropped.png" in seen.page.locator("#caption").inner_text()


def test_what_is_no_image_is_one_line(look: Any, address: str, tmp_path: Path, image: Path) -> None:
    wrong = tmp_path / "notes.txt"
    wrong.write_text("hello")
    seen = look(address)
    seen.page.set_input_files("#file", wrong)
    seen.page.wait_for_selector("#status[data-state=error]")
    said = seen.page.locator("#status").inner_text()
    assert said == "notes.txt: is not an image that is taken here: JPEG, PNG, WEBP, BMP, GIF, TIFF"
    assert seen.problems.pop().startswith("error: Failed to load resource: the server responded with a status of 422")
    seen.page.set_input_files("#file", image)
    seen.page.wait_for_selector("#out:not([hidden])")
    assert seen.page.locator("#status").inner_text() == ""
