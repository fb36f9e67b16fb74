"""``vf data check``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Vf = Callable[..., Any]
FOUND = """\
warning: carp: only 1 object
note: no val split
  split  images
  train       2
  2 classes: eel, carp
"""
OK = "ok    nothing stands in the way of a training\n"


@pytest.fixture(autouse=True)
def pond(site: Any) -> Path:
    site.fish()
    folder = Path("pond")
    folder.mkdir()
    for name in ("a", "b"):
        (folder / f"{name}.fish").write_text(name)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [["fish/quickstart"], ["--task", "fish"], ["--data", "pond"], ["--task", "fish", "--data", "pond"]],
)
def test_data_that_is_well(vf: Vf, arguments: list[str]) -> None:
    said = vf("data", "check", *arguments)
    assert (said.code, said.out, said.err) == (0, FOUND + OK, "")


def test_errors_of_the_check(vf: Vf, pond: Path) -> None:
    (pond / "b.fish").write_text("")
    said = vf("data", "check", "--data", "pond")
    assert (said.code, said.out, said.err) == (2, FOUND, "error: b.fish: is empty\n")


def test_labels_that_cannot_be_read(vf: Vf, pond: Path) -> None:
    (pond / "labels.txt").write_text("")
    said = vf("data", "check", "--data", "pond", "--images")
    assert (said.code, said.out) == (2, "")
    assert said.err == "error: labels.txt:1: unknown fish 'cod'\nerror: labels.txt:2: unknown fish 'ray'\n"


def test_images(vf: Vf, pond: Path) -> None:
    said = vf("data", "check", "--data", "pond", "--images")
    assert (said.code, said.out) == (0, FOUND + "decoded 2 images, 0 broken\n" + OK)
    (pond / "a.fish").write_text("broken")
    said = vf("data", "check", "--data", "pond", "--images")
    assert (said.code, said.out) == (2, FOUND + "decoded 2 images, 1 broken\n")
    assert said.err == "error: a.fish: cannot be decoded\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say what to check: a recipe, --task TASK or --data PATH"),
        (["--data", "nowhere"], "--data nowhere: no such file or folder"),
        (
            ["--data", "pond", "--set", "data.limti=1"],
            "--set data.limti=1: data.limti: unknown key; did you mean 'limit'?",
        ),
        (["--task", "fihs"], "--task fihs: no plugin brings the recipe 'fihs/quickstart'; did you mean 'fish'?"),
    ],
)
def test_nothing_to_check(vf: Vf, arguments: list[str], sentence: str) -> None:
    said = vf("data", "check", *arguments)
    assert (said.code, said.out, said.err) == (2, "", f"error: {sentence}\n")
