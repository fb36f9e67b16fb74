"""25 mistakes that users make, as vf answers them: exit code, lines, seconds, and the sentence.

    python benchmarks/mistakes.py

The same list was put to mmdet 3.3.0 (its figures are in RESULTS.md); each is said here in a recipe's terms. Ends
with exit code 1 if any goes unnoticed, takes more than one line, or does not name its place.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from PIL import Image

from vf.data.shapes import CLASSES, Settings, scene

RECIPE = """\
extends: det/custom
model: {size: [96, 96]}
data: {name: coco, path: data}
train: {length: 4 steps, batch_size: 2, final: 0 steps, schedule: {name: constant}}
loader: {workers: 0}
"""
SET = "run train mine.yaml --out run --set "


@attrs.frozen
class Mistake:
    """One mistake: what to change before, what to type, and what the answer must hold."""

    title: str
    args: str
    names: str
    """Part of the answer that says where: a file and line, an image, an annotation, or the option as typed."""
    prepare: Callable[[Path], None] = lambda root: None


def write_data(root: Path) -> None:
    """Write eight generated images, the first six to train on, and COCO json beside."""
    settings = Settings(size=96, min_objects=2, max_objects=4, min_side=0.2, max_side=0.45, seed=5)
    (root / "data" / "images").mkdir(parents=True)
    for split, numbers in (("train", range(6)), ("val", range(6, 8))):
        images, annotations = [], []
        for i in numbers:
            made = scene(settings, "train", i)
            Image.fromarray(made.image).save(root / "data" / "images" / f"{i}.jpg")
            images.append({"id": i, "file_name": f"{i}.jpg", "width": 96, "height": 96})
            for box, label in zip(made.boxes.tolist(), made.labels.tolist(), strict=True):
                xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
                entry = {"id": len(annotations), "image_id": i, "category_id": label, "bbox": xywh}
                annotations.append(entry)
        categories = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
        data = {"images": images, "annotations": annotations, "categories": categories}
        (root / "data" / f"{split}.json").write_text(json.dumps(data))
    (root / "mine.yaml").write_text(RECIPE)


def labels(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Change train.json."""

    def prepare(root: Path) -> None:
        path = root / "data" / "train.json"
        data = json.loads(path.read_text())
        change(data)
        path.write_text(json.dumps(data))

    return prepare


def image(content: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Change the bytes of one training image."""

    def prepare(root: Path) -> None:
        path = root / "data" / "images" / "3.jpg"
        path.write_bytes(content(path.read_bytes()))

    return prepare


def _rename(data: dict[str, Any]) -> None:
    data["images"][3]["file_name"] = "nothere.jpg"


def _cut(root: Path) -> None:
    path = root / "data" / "train.json"
    path.write_text(path.read_text()[:700])


VOC = "run train mine.yaml --out run --set data.name=voc --set data.path=voc --set data.classes="


def write_voc(root: Path) -> None:
    """Write the six training images once more, in VOC's layout."""
    data = json.loads((root / "data" / "train.json").read_text())
    (root / "voc" / "Annotations").mkdir(parents=True)
    (root / "data" / "images").rename(root / "voc" / "JPEGImages")
    for entry in data["images"]:
        boxes = [a for a in data["annotations"] if a["image_id"] == entry["id"]]
        objects = "".join(
            f"<object>\n<name>{CLASSES[a['category_id']]}</name>\n<bndbox><xmin>{a['bbox'][0] + 1}</xmin>"
            f"<ymin>{a['bbox'][1] + 1}</ymin><xmax>{a['bbox'][0] + a['bbox'][2]}</xmax>"
            f"<ymax>{a['bbox'][1] + a['bbox'][3]}</ymax></bndbox>\n</object>\n"
            for a in boxes
        )
        text = f"<annotation>\n<filename>{entry['file_name']}</filename>\n{objects}</annotation>\n"
        (root / "voc" / "Annotations" / f"{entry['id']}.xml").write_text(text)


MISTAKES = [
    Mistake("unknown key of the model", SET + "model.depht=0.5", "--set model.depht=0.5: model.depht: unknown key"),
    Mistake("unknown name of a model", SET + "model.name=yoloxx", "did you mean 'yolox'?"),
    Mistake("unknown key at the top", SET + "optimzer.lr=0.5", "--set optimzer.lr=0.5: optimzer: unknown key"),
    Mistake("unknown key of the loader", SET + "train.batchsize=4", "did you mean 'batch_size'?"),
    Mistake("unknown key of the data", SET + "data.trian=x.json", "did you mean 'train'?"),
    Mistake("unknown key of a transform", SET + "augment.0.scal=3", "augment[0].scal: unknown key"),
    Mistake("unknown key of the loop", SET + "train.max_iter=3", "train.max_iter: unknown key"),
    Mistake("unknown key deep inside", SET + "callbacks.0.dcay=0.5", "callbacks[0].dcay: unknown key"),
    Mistake("number of classes 80 for 5", SET + "model.num_classes=80", "model.num_classes: unknown key"),
    Mistake("number of classes 2 for 5", SET + "model.num_classes=2", "model.num_classes: unknown key"),
    Mistake("a class misspelt", VOC + "[circle,sqare,triangle,star,cross]", ".xml:", write_voc),
    Mistake("all classes wrong", VOC + "[cat,dog,cow]", ".xml:", write_voc),
    Mistake("missing image", "run train mine.yaml --out run", "train.json: image 'nothere.jpg'", labels(_rename)),
    Mistake("missing image, 2 workers", SET + "loader.workers=2", "train.json: image 'nothere.jpg'", labels(_rename)),
    Mistake(
        "garbage for a JPEG", "run train mine.yaml --out run", "3.jpg", image(lambda b: b"this is not a jpeg" * 200)
    ),
    Mistake("empty JPEG", "run train mine.yaml --out run", "3.jpg", image(lambda b: b"")),
    Mistake("JPEG cut in half", SET + "loader.workers=2", "3.jpg", image(lambda b: b[: len(b) // 2])),
    Mistake("wrong path of the labels", SET + "data.train=nope.json", "nope.json: no such file"),
    Mistake("broken JSON", "run train mine.yaml --out run", "train.json:1:", _cut),
    Mistake(
        "annotation without bbox",
        "run train mine.yaml --out run",
        "train.json: annotation 0 has no 'bbox'",
        labels(lambda d: d["annotations"][0].pop("bbox")),
    ),
    Mistake("wrong image folder", SET + "data.images_train=pictures", "train.json: "),
    Mistake("wrong root of the data", SET + "data.path=/nowhere", "/nowhere"),
    Mistake("recipe missing", "run train nope.yaml", "nope.yaml: no such file"),
    Mistake(
        "recipe is not YAML",
        "run train mine.yaml",
        "mine.yaml:2:",
        lambda root: (root / "mine.yaml").write_text("model: {name: yolox\nx: 3\n") and None,
    ),
    Mistake("learning rate 1e9", SET + "train.optimizer.lr=1e9", "the loss is not finite"),
]


def answer(mistake: Mistake, root: Path) -> tuple[int, str, float]:
    """Type the command in a fresh folder; return exit code, what went to stderr, and seconds."""
    write_data(root)
    mistake.prepare(root)
    command = [sys.executable, "-m", "vf_cli", *mistake.args.split()]
    start = time.perf_counter()
    env = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stderr, time.perf_counter() - start


def main() -> int:
    """Print a Markdown table and the score."""
    good = 0
    print("| mistake | exit | lines | s | what vf says |\n|---|---|---|---|---|")
    for mistake in MISTAKES:
        with tempfile.TemporaryDirectory() as name:
            code, text, seconds = answer(mistake, Path(name))
        lines = text.strip().splitlines()
        explained = code == 2 and mistake.names in text and len(lines) == 1 and text.startswith("error: ")
        good += explained
        first = lines[0].removeprefix("error: ").replace(name + "/", "").replace("|", "\\|") if lines else ""
        print(f"| {mistake.title} | {code} | {len(lines)} | {seconds:.1f} | {first} |", flush=True)
    print(
        f"\n{good} of {len(MISTAKES)} explained, each in one line with its place; none goes unnoticed"
        if good == len(MISTAKES)
        else f"\n{good} of {len(MISTAKES)}"
    )
    return 0 if good == len(MISTAKES) else 1


if __name__ == "__main__":
    raise SystemExit(main())
