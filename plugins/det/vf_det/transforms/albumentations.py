"""Transforms of Albumentations, applied to image, boxes, masks and keypoints together."""

from __future__ import annotations

import importlib
import os
import random
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.follow import box_areas, hide_outside, select_rows
from vf.data.sample import Sample
from vf.errors import ConfigError, SetupError, did_you_mean
from vf_det.data.geometry import image_of, pixels_of

LEAST = 1e-3
"""Side of a box in px below which the library is not shown it: it refuses boxes without area."""


class Albumentations:
    """A list of the library's transforms.

    Args:
        transforms: each a mapping with ``type``, the name of a class of the library, and its keywords; the keyword
            ``transforms`` of a class that holds others is a list of such mappings.
        min_visibility: part of its area that a box must keep.
        sets_size: whether the list ends at a size that the model is to be trained at.
    """

    def __init__(self, *, transforms: Sequence[Mapping[str, Any]], min_visibility: float, sets_size: bool) -> None:
        library = _library()
        self.sets_size = sets_size
        self._compose = library.Compose(
            [_built(library, spec, f"transforms[{i}]") for i, spec in enumerate(transforms)],
            bbox_params=library.BboxParams(
                format="pascal_voc", label_fields=["rows"], min_visibility=min_visibility, clip=True
            ),
            keypoint_params=library.KeypointParams(format="xy", remove_invisible=False),
        )

    def __call__(self, sample: Sample) -> Sample:
        """Change one sample."""
        seed = int(torch.randint(2**31, ()))  # the library has generators of its own
        if hasattr(self._compose, "set_random_seed"):
            self._compose.set_random_seed(seed)
        else:
            random.seed(seed)
            np.random.seed(seed)
        target = sample.target
        boxes = target.get("boxes", torch.zeros(0, 4)).as_subclass(Tensor)
        keep = ((boxes[:, 2:] - boxes[:, :2]) > LEAST).all(1).nonzero()[:, 0]
        points = target.get("keypoints")
        given: dict[str, Any] = {
            "image": pixels_of(sample.image),
            "bboxes": boxes[keep].numpy(),
            "rows": keep.numpy(),
            "keypoints": [] if points is None else points.as_subclass(Tensor).reshape(-1, 2).numpy(),
        }
        if "masks" in target and len(target["masks"]):
            given["masks"] = [mask for mask in target["masks"].as_subclass(Tensor).to(torch.uint8).numpy()]
        return _moved(sample, self._compose(**given))


def _moved(sample: Sample, given: Mapping[str, Any]) -> Sample:
    image = image_of(np.ascontiguousarray(given["image"], np.uint8))
    if "boxes" not in sample.target:
        return attrs.evolve(sample, image=image)
    size = (int(image.shape[-2]), int(image.shape[-1]))
    old = sample.target["boxes"]
    rows = torch.as_tensor(np.asarray(given["rows"]), dtype=torch.int64)
    boxes = torch.as_tensor(np.asarray(given["bboxes"], np.float32)).reshape(-1, 4)
    target = {key: select_rows(value, rows, len(old)) for key, value in sample.target.items()}
    target["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
    if "area" in target:
        target["area"] = target["area"] * box_areas(boxes) / box_areas(old)[rows].clamp(min=1e-6)
    if "masks" in target:
        masks = np.array(given["masks"]) if "masks" in given else np.zeros((0, *size), np.uint8)
        target["masks"] = tv_tensors.Mask(torch.from_numpy(masks > 0)[rows])
    if "keypoints" in target:
        moved = torch.as_tensor(np.asarray(given["keypoints"], np.float32)).reshape(sample.target["keypoints"].shape)
        target["keypoints"] = tv_tensors.KeyPoints(moved[rows], canvas_size=size)
        if "visible" in target:
            target["visible"] = hide_outside(target["visible"], target["keypoints"], size)
    return attrs.evolve(sample, image=image, target=target)


def _library() -> ModuleType:
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or it asks the network for its newest version
    try:
        return importlib.import_module("albumentations")
    except ImportError as error:
        missing = "is not installed" if error.name == "albumentations" else f"cannot be imported ({error})"
        raise SetupError(f"augment: albumentations {missing}; pip install albumentations") from None


def _built(library: ModuleType, spec: Any, where: str) -> Any:
    where_ = f"augment: albumentations.{where}"
    if not isinstance(spec, Mapping) or not isinstance(spec.get("type"), str):
        raise ConfigError(f"{where_}: expected a mapping with the key 'type' (a class of albumentations), got {spec!r}")
    name, keys = spec["type"], {key: value for key, value in spec.items() if key != "type"}
    cls = getattr(library, name, None)
    if not isinstance(cls, type):
        hint = did_you_mean(name, [n for n in dir(library) if n[0].isupper()])
        raise ConfigError(f"{where_}: albumentations {library.__version__} has no {name!r}{hint}")
    if isinstance(keys.get("transforms"), list):
        keys["transforms"] = [
            _built(library, inner, f"{where}.transforms[{i}]") for i, inner in enumerate(keys["transforms"])
        ]
    try:
        return cls(**keys)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where_}: {name}: {' '.join(str(error).split())}") from None
