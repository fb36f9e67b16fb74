"""Every task on every kind of source: what `vf run infer` writes for each.

    python benchmarks/sources.py RUN… --images FOLDER --video FILE [--keep DIR]

RUN is a run or checkpoint; its recipe says the task. Of FOLDER the first eight images are taken, of the video every
20th frame. The address is of a server on this machine. --keep leaves the drawn pictures there, to be looked at.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

from vf.data.decode import IMAGE_SUFFIXES
from vf.engine.checkpoint import read_weights
from vf.runs import find_weights


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def sources(folder: Path, video: Path, work: Path) -> dict[str, list[str]]:
    """Return the arguments that name each kind of source, made of eight images and a video."""
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)[:8]
    (work / "some").mkdir()
    for image in images:
        shutil.copy(image, work / "some")
    with zipfile.ZipFile(work / "some.zip", "w") as packed:
        for image in images:
            packed.write(image, image.name)
    (work / "some.txt").write_text("".join(f"some/{image.name}\n" for image in images))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(work / "some")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/{images[0].name}"
    return {
        "image": [f"some/{images[0].name}"],
        "images": [f"some/{image.name}" for image in images],
        "folder": ["some"],
        "pattern": [f"some/*{images[0].suffix}"],
        "zip": ["some.zip"],
        "list": ["some.txt"],
        "address": [address],
        "video": [str(video), "--every", "20"],
        "tiles": [f"some/{images[0].name}", "--tile", "320"],
    }


def infer(run: Path, kind: str, words: list[str], work: Path, keep: Path | None) -> str:
    """Predict, and return a cell: how many images, how many things found; or the sentence that refuses."""
    task = task_of(run)
    out = (keep or work) / f"{task}-{kind}"
    command = [sys.executable, "-m", "vf_cli", "run", "infer", str(run), *words, "--out", str(out)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        return "refused: " + done.stderr.strip().splitlines()[-1].removeprefix("error: ").partition(";")[0]
    said = json.loads((out / "predictions.json").read_text(encoding="utf-8"))
    counted = [len(image[key]) for image in said for key in ("objects", "texts", "classes", "pixels") if key in image]
    return f"{len(said)} ({sum(counted)})"


def task_of(run: Path) -> str:
    """Return the task of a run's recipe."""
    found = re.search(r"^task: (\w+)$", read_weights(find_weights(str(run))).recipe, re.MULTILINE)
    assert found is not None
    return found[1]


def main() -> None:
    """Predict everything, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        kinds = sources(args.images.resolve(), args.video.resolve(), work)
        keep = args.keep.resolve() if args.keep else None
        print(f"| source | {' | '.join(task_of(run) for run in args.runs)} |")
        print(f"|---|{'---|' * len(args.runs)}")
        for kind, words in kinds.items():
            cells = [infer(run.resolve(), kind, words, work, keep) for run in args.runs]
            print(f"| {kind} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
