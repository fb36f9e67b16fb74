"""Predict an image or every image of a folder: pictures and predictions.json, or a JSON line an image."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vf.console import Console
from vf.errors import VFError
from vf.launch import Inference
from vf.predict import Predictor, Result, find_images


def infer(asked: Inference, console: Console, make_folder: Callable[[], Path]) -> None:
    """Predict as asked.

    Args:
        make_folder: returns where pictures and predictions.json go; called once there is something to predict.

    Raises:
        VFError: the weights or the folder cannot be used; at the end, with a line for each image that was not read.
    """
    files = find_images(asked.source)
    predictor = Predictor.load(asked.checkpoint, device=asked.device)
    results = predictor.predict_files(files, workers=asked.workers, batch_size=asked.batch_size)
    problems: list[str] = []
    folder = None if asked.as_json else make_folder()
    root = Path(asked.source) if Path(asked.source).is_dir() else Path(asked.source).parent
    written: list[dict[str, Any]] = []
    for result in console.track(results, "infer", len(files)):
        if not isinstance(result, Result):
            problems += result.problems
        elif folder is None:
            plain = result.plain(threshold=asked.threshold)
            print(json.dumps(plain, ensure_ascii=False), file=sys.stdout, flush=True)  # noqa: T201 - what was asked for
        else:
            written.append(result.plain(threshold=asked.threshold))
            _save_picture(result, folder / Path(result.id).relative_to(root), asked.threshold)
    if folder is not None:
        path = folder / "predictions.json"
        path.write_text(json.dumps(written, indent=1, ensure_ascii=False), encoding="utf-8")
        objects = [len(w["objects"]) for w in written if "objects" in w]
        found = f"{sum(objects)} objects on " if objects else ""
        console.say(f"{found}{len(written)} of {len(files)} images; pictures and predictions.json in {folder}")
    if problems:
        raise VFError(*problems)


def _save_picture(result: Result, path: Path, threshold: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # a.png becomes a.png.jpg, because an a.jpg may lie beside it.
    name = path.name if path.suffix.lower() in (".jpg", ".jpeg") else f"{path.name}.jpg"
    result.draw(threshold=threshold).save(path.with_name(name), quality=92)
    if "semantic" in result.prediction:
        result.label_map().save(path.with_name(f"{path.stem}.labels.png"))
