"""``vf data charset``, and what is written in other layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from click.testing import CliRunner, Result

from vf.errors import VFError
from vf_cli.main import cli
from vf_ocr.page_configs import Icdar
from vf_ocr.word_configs import WordList


def run(*words: str) -> Result:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, VFError | SystemExit):
        raise result.exception
    return result


def words(root: Path) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(root / name), np.full((20, 50, 3), 200, np.uint8))
    (root / "train.txt").write_text("a.png\tAb1\nb.png\tb!\n")
    return root


def pages(root: Path) -> Path:
    for folder in ("images", "gts"):
        (root / folder).mkdir(parents=True)
    cv2.imwrite(str(root / "images/p.png"), np.full((60, 80, 3), 200, np.uint8))
    (root / "gts/p.txt").write_text("10,10,40,10,40,30,10,30,Ab\n1,1,9,1,9,9,1,9.5,###\n")
    return root


def test_charset(tmp_path: Path) -> None:
    root, out = words(tmp_path / "w"), tmp_path / "own.txt"
    result = run("data", "charset", str(root), "--set", "data.holdout=0", "--against", "lower", "--out", str(out))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "train: 2 texts, 5 characters",
        "4: 1 b A !",
        "  'b' 2  '!' 1  '1' 1  'A' 1",
        "against lower (36: 0-9 a-z, lower case alone):",
        "  not in it: 1 characters, 1 times: !",
        "  never used: 33: 0 2 3 4 5 6 7 8 9 c d e f g h i j k l m n o p q r s t u v w x y z",
        f"wrote {out}: --set data.charset={out}",
    ]
    assert WordList(path=str(root), charset=str(out)).info().classes == ("1", "b", "A", "!")
    again = run("data", "charset", str(root), "--out", str(out))
    assert str(again.exception) == f"{out}: exists; nothing is overwritten: name another"


def test_charset_of_pages(tmp_path: Path) -> None:
    result = run("data", "charset", str(pages(tmp_path)))
    assert result.output.splitlines()[:2] == ["train: 1 texts, 2 characters", "2: b A"]


def test_is_listed_beside_our_own() -> None:
    listed = run("data", "--help").output
    assert "check " in listed
    assert "charset " in listed


def test_checks_and_counts_words(tmp_path: Path) -> None:
    root = words(tmp_path)
    (root / "train.txt").rename(root / "rec_gt_train.txt")  # a train.txt could be a list of classes too
    named = ("--data", str(root), "--set", "data.holdout=0")
    checked = run("data", "check", *named)
    assert checked.exit_code == 0, checked.output
    assert "note: train: 2 words of 2 to 3 characters, 4 different: 4: 1 b A !" in checked.output
    counted = run("data", "stats", *named)
    assert counted.exit_code == 0, counted.output
    rows = [line.split() for line in counted.output.splitlines()]
    assert ["objects", "5"] in rows


def test_writes_pages(tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run("data", "convert", str(pages(tmp_path / "in")), str(out), "--to", "icdar", "--copy")
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    assert (out / "train/gts/p.txt").read_text() == "10,10,40,10,40,30,10,30,Ab\n1,1,9,1,9,9,1,9.5,###\n"
    target = Icdar(path=str(out)).build_as("train", evaluation=True)[0].target
    assert target["texts"] == ("Ab", "###")


def test_writes_words(tmp_path: Path) -> None:
    for copy in ((), ("--copy",)):
        out = tmp_path / f"out{len(copy)}"
        result = run(
            "data", "convert", str(words(tmp_path / "in")), str(out), "--task", "ocr", "--to", "word_list", *copy
        )
        assert result.exit_code == 0, f"{result.output} {result.exception}"
        dataset = WordList(path=str(out), holdout=0).build_as("train", evaluation=True)
        assert [dataset[k].target["text"] for k in (0, 1)] == ["Ab1", "b!"]


def test_writes_no_words_as_pages(tmp_path: Path) -> None:
    wrong = run("data", "convert", str(words(tmp_path / "w")), str(tmp_path / "x"), "--task", "ocr", "--to", "icdar")
    assert str(wrong.exception) == "a.png: has no polygons; write words with --to word_list"


def test_cuts_words_out_of_pages(tmp_path: Path) -> None:
    out = tmp_path / "words"
    result = run("data", "convert", str(pages(tmp_path / "p")), str(out), "--to", "word_list")
    assert result.exit_code == 0, f"{result.output} {result.exception}"
    assert (out / "train.tsv").read_text() == "train/p_000.png\tAb\n"
    assert cv2.imread(str(out / "train/p_000.png")).shape == (20, 30, 3)
