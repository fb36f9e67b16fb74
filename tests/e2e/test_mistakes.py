"""The 25 mistakes of benchmarks/mistakes.py: each is answered in one line that says where, and none goes unnoticed."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "mistakes.py"
spec = importlib.util.spec_from_file_location("mistakes", SCRIPT)
assert spec is not None
assert spec.loader is not None
mistakes: Any = importlib.util.module_from_spec(spec)
spec.loader.exec_module(mistakes)

ROOT = "task, model, data, augment, metrics, train, loader, callbacks, launcher"
TRAIN = (
    "length, batch_size, optimizer, schedule, momentum_schedule, auto_scale_lr, accumulate, clip_grad, precision, "
    "channels_last, device, final, eval_every, save_every, keep, best, log_every, seed, best_mode, save_minutes, "
    "strategy, sync_batchnorm, compile, checkpoint_activations, tf32, deterministic, stall_timeout, init_from, "
    "allow_partial"
)
LABELS = "circle, cross, square, star, triangle"
SENTENCES = {
    "unknown key of the model": "--set model.depht=0.5: model.depht: unknown key; did you mean 'depth'?",
    "unknown name of a model": "--set model.name=yoloxx: model.name: unknown model 'yoloxx'; did you mean 'yolox'?",
    "unknown key at the top": f"--set optimzer.lr=0.5: optimzer: unknown key; known: {ROOT}",
    "unknown key of the loader": "--set train.batchsize=4: train.batchsize: unknown key; did you mean 'batch_size'?",
    "unknown key of the data": "--set data.trian=x.json: data.trian: unknown key; did you mean 'train'?",
    "unknown key of a transform": "--set augment.0.scal=3: augment[0].scal: unknown key; did you mean 'scale'?",
    "unknown key of the loop": f"--set train.max_iter=3: train.max_iter: unknown key; known: {TRAIN}",
    "unknown key deep inside": "--set callbacks.0.dcay=0.5: callbacks[0].dcay: unknown key; did you mean 'decay'?",
    "number of classes 80 for 5": "--set model.num_classes=80: model.num_classes: unknown key; "
    "the class list comes from the data",
    "number of classes 2 for 5": "--set model.num_classes=2: model.num_classes: unknown key; "
    "the class list comes from the data",
    "a class misspelt": "voc/Annotations/0.xml:15: class 'square' is not in data.classes "
    "(circle, sqare, triangle, star, cross); did you mean 'sqare' or 'star'? (and 5 more like it)",
    "all classes wrong": f"voc/Annotations/0.xml:3: no class of the labels ({LABELS}) is in data.classes "
    "(cat, dog, cow)",
    "missing image": "data/train.json: image 'nothere.jpg' (id 3) is not in data/images",
    "missing image, 2 workers": "data/train.json: image 'nothere.jpg' (id 3) is not in data/images",
    "garbage for a JPEG": "data/images/3.jpg: is not an image that can be read; its first bytes are b'this is '",
    "empty JPEG": "data/images/3.jpg: is empty (0 bytes); expected an image",
    "JPEG cut in half": "data/images/3.jpg: image is truncated: the JPEG ends after {size} bytes "
    "without its end marker",
    "wrong path of the labels": "data/nope.json: no such file; data.train names a json relative to data.path",
    "broken JSON": "data/train.json:1:701: not valid JSON: Expecting value",
    "annotation without bbox": "data/train.json: annotation 0 has no 'bbox'",
    "wrong image folder": "data/train.json: image '0.jpg' (id 0) is not in data/pictures (and 5 more like it)",
    "wrong root of the data": "/nowhere: no such folder; data.path names the folder of the data set",
    "recipe missing": "nope.yaml: no such file",
    "recipe is not YAML": "mine.yaml:2: not valid YAML: while parsing a flow mapping expected ',' or '}}', but got ':'",
}


NOT_FINITE = (
    r"error: step [234]: the loss is not finite \(loss_box \S+, loss_obj \S+, loss_cls \S+, _num_pos \d+\) "
    r"at lr 1e\+09, images \d\.jpg, \d\.jpg; "
    r"lower train\.optimizer\.lr or set train\.clip_grad; see run/nan_report\.json\n"
)
"""At which step, and with which numbers, depends on the number of threads."""


@pytest.mark.parametrize("mistake", mistakes.MISTAKES, ids=lambda m: m.title.replace(" ", "-"))
def test_mistake(vf: Callable[..., Any], tmp_path: Path, mistake: Any) -> None:
    mistakes.write_data(tmp_path)
    mistake.prepare(tmp_path)
    said = vf(*mistake.args.split())
    if mistake.title == "learning rate 1e9":
        assert said.code == 2
        assert re.fullmatch(NOT_FINITE, said.err)
        return
    sentence = SENTENCES[mistake.title].format(size=next(tmp_path.rglob("3.jpg")).stat().st_size)
    assert (said.code, said.err) == (2, f"error: {sentence}\n")
