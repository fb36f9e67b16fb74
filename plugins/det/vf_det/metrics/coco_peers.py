"""COCO's evaluation by pycocotools or faster-coco-eval: the same question as :mod:`vf_det.metrics.counting`."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vf.errors import SetupError
from vf_det.metrics.counting import Counted, Floats, Ints, Rules

Kind = Literal["bbox", "segm", "keypoints"]
Columns = Mapping[str, Any]
"""COCO's names of an annotation's keys -> one value a row: an array or a list."""


def installed(backend: str) -> str:
    """Return the module that counts; SetupError where it is not installed."""
    if backend not in ("auto", "vf") and importlib.util.find_spec(backend) is None:
        cure = f"pip install {backend.replace('_', '-')}"
        raise SetupError(f"metric coco_ap: backend {backend!r} is not installed; {cure}, or leave 'backend' out")
    return "vf" if backend == "auto" else backend


def count(
    backend: str, kind: Kind, found: Columns, labelled: Columns, sizes: Ints, rules: Rules, sigmas: Floats
) -> Counted:
    """Count with another's evaluator.

    Args:
        backend: ``pycocotools`` or ``faster_coco_eval``.
        kind: what overlaps.
        found: of the detections.
        labelled: of the objects.
        sizes: [I,2] height and width of each image; what masks need.
        rules: of the area ranges, what ``kind`` has in COCO.
        sigmas: of the keypoints.
    """
    COCO, COCOeval = modules(backend)  # noqa: N806 - they are classes
    top: dict[str, Any] = {"info": {}}
    top["images"] = [{"id": i, "height": h, "width": w} for i, (h, w) in enumerate(sizes.tolist())]
    top["categories"] = [{"id": k, "name": str(k)} for k in range(max(rules.classes, 1))]
    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), COCO()
        for part, columns in ((truth, labelled), (results, found)):
            part.dataset = {**top, "annotations": _annotations(columns, agnostic=not rules.classes)}
            part.createIndex()
        evaluator = COCOeval(truth, results, kind)
        evaluator.params.iouThrs = rules.ious
        evaluator.params.maxDets = list(rules.max_dets)
        evaluator.params.useCats = int(rules.classes > 0)
        if kind == "keypoints":
            evaluator.params.kpt_oks_sigmas = sigmas
        evaluator.evaluate()
        evaluator.accumulate()
    counted = evaluator.eval
    return Counted(precision=counted["precision"][..., -1], recall=counted["recall"])


def _annotations(columns: Columns, *, agnostic: bool) -> list[dict[str, Any]]:
    plain = {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in columns.items()}
    if agnostic:
        plain["category_id"] = [0] * len(plain["category_id"])
    keys = tuple(plain)
    rows = zip(*plain.values(), strict=True)
    return [{"id": i, **dict(zip(keys, row, strict=True))} for i, row in enumerate(rows, 1)]


def flat_points(points: NDArray[Any], visible: NDArray[Any]) -> NDArray[Any]:
    """Return x, y, v, x, y, v … [N,3J] from [N,J,2] and [N,J]."""
    joined = np.concatenate([points, visible[..., None]], 2)
    return joined.reshape(len(joined), points.shape[1] * 3)


def modules(backend: str) -> tuple[Any, Any]:
    """Return COCO and COCOeval of ``backend``."""
    if backend == "faster_coco_eval":
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster
    from pycocotools import coco, cocoeval

    return coco.COCO, cocoeval.COCOeval
