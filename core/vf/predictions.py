"""Predictions as they lie in a file: which values there are, and how they become text and numbers again.

A file is one document with a head and one entry for each image (docs/testing.md has the whole form):

    {"format": "vf-predictions", "version": 1, "classes": […], …, "images": [
    {"id": "a.jpg", "image_id": 7, "size": [480, 640], "boxes": [[x1, y1, x2, y2], …], "scores": […], "labels": […]},
    …
    ]}

float32 numbers are written with as many digits as give the same float32 again.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import DataError, PluginError
from vf.protocols import DatasetInfo, Predicted

FORMAT, VERSION = "vf-predictions", 1
Restore = Callable[[dict[str, Any], tuple[int, int]], Any]
"""What a data set makes of plain data; see `vf.protocols.Results`."""
OWN = ("id", "image_id", "size")
"""Keys of an entry that are no prediction."""
DTYPES = ("float32", "float64", "int64", "int32", "int16", "int8", "uint8", "bool")


@attrs.frozen
class Key:
    """One key of the predictions of a file."""

    dtype: str = ""
    """Of a tensor that is written as numbers; empty: what lies there is packed, or plain data."""
    row: tuple[int, ...] | None = ()
    """Shape of one of its rows; None: the tensor is one number."""

    def plain(self) -> dict[str, Any]:
        """Return what stands in the head."""
        return {"dtype": self.dtype, "row": self.row} if self.dtype else {}


USUAL = {"boxes": Key("float32", (4,)), "scores": Key("float32"), "labels": Key("int64")}
"""What keys are in a file whose head does not say it."""


@attrs.frozen(kw_only=True)
class Head:
    """What a file says before its entries."""

    info: DatasetInfo
    """Facts of the model: classes, stuff and keypoints."""
    split: str
    images: int
    recipe: str = ""
    """Text of the recipe that predicted, with its data and metrics."""
    model: str = ""
    """Where its weights lay, for people."""
    keys: Mapping[str, Key] = USUAL

    def text(self) -> str:
        """Return the head as JSON, without its last brace."""
        head = {
            "format": FORMAT,
            "version": VERSION,
            "task": self.info.task,
            "classes": self.info.classes,
            "stuff": self.info.stuff,
            "keypoints": self.info.keypoints,
            "multi_label": self.info.multi_label,
            "palette": self.info.palette,
            "split": self.split,
            "model": self.model,
            "recipe": self.recipe,
            "keys": {name: key.plain() for name, key in self.keys.items()},
            "count": self.images,
        }
        return json.dumps(head, ensure_ascii=False)[:-1]

    @classmethod
    def parse(cls, data: Any, where: str) -> Head:
        """Take what :meth:`text` gave, or less of it; DataError where it is something else."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise DataError(f'{where}: not a file of predictions: expected "format": "{FORMAT}" at its beginning')
        if data.get("version") != VERSION:
            raise DataError(f"{where}: is of version {data.get('version')!r}, this vf reads version {VERSION}")
        classes = data.get("classes")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise DataError(f"{where}: expected the names of the classes in a list under 'classes'")
        try:
            keys = {
                name: Key(key["dtype"], None if key["row"] is None else tuple(key["row"])) if key else Key()
                for name, key in data.get("keys", {}).items()
            }
            palette = data.get("palette")
            return cls(
                info=DatasetInfo(
                    classes=tuple(classes),
                    task=str(data.get("task", "")),
                    num_samples={},
                    fingerprint="",
                    stuff=tuple(data.get("stuff", ())),
                    keypoints=tuple(data.get("keypoints", ())),
                    multi_label=bool(data.get("multi_label", False)),
                    palette=None if palette is None else tuple(map(tuple, palette)),
                ),
                split=str(data.get("split", "")),
                images=int(data.get("count", -1)),
                recipe=str(data.get("recipe", "")),
                model=str(data.get("model", "")),
                keys={**USUAL, **keys},
            )
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise DataError(f"{where}: its head cannot be read ({type(error).__name__}: {error})") from None


def encode(predicted: Predicted) -> tuple[dict[str, Key], str]:
    """Return what the keys are, and the entry as one line of JSON.

    Raises:
        DataError: a number is not finite.
        PluginError: a value cannot be written.
    """
    own = {"id": predicted.id, "image_id": predicted.image_id, "size": list(predicted.size)}
    texts = [json.dumps({k: v for k, v in own.items() if v is not None}, ensure_ascii=False)[1:-1]]
    keys: dict[str, Key] = {}
    for name, value in predicted.prediction.items():
        if name in OWN:
            raise PluginError(f"predictions: the key {name!r} is taken by what every entry has; give it another name")
        keys[name], text = _encoded(value, f"image {predicted.id!r}: {name}")
        texts.append(f"{json.dumps(name)}: {text}")
    return keys, "{" + ", ".join(texts) + "}"


def _encoded(value: Any, where: str) -> tuple[Key, str]:
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.dtype in (torch.float16, torch.bfloat16) else value).numpy()
    if isinstance(value, np.ndarray):
        return _encoded_array(value, where)
    plain = value.plain() if hasattr(value, "plain") else value
    try:
        return Key(), json.dumps(plain, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        raise PluginError(
            f"predictions: {where}: expected a tensor, an array, plain data or an object with a method plain(), got "
            f"{type(value).__name__}"
        ) from None


def _encoded_array(array: NDArray[Any], where: str) -> tuple[Key, str]:
    dtype = array.dtype.name
    if dtype not in DTYPES:
        raise PluginError(f"predictions: {where}: expected one of {', '.join(DTYPES)}, got {dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise DataError(f"{where}: the model gave numbers that are not finite; nothing can be measured or written")
    if (array.dtype.kind != "f" and array.ndim > 1) or 0 in array.shape[1:]:
        return Key(), json.dumps(_packed(array))
    flat = array.reshape(-1)
    # As str, a scalar of numpy has just the digits that tell it from the next float32; tolist() would have 17.
    texts = list(map(str, flat if array.dtype.kind == "f" else flat.tolist()))
    if array.dtype.kind == "b":
        texts = [text.lower() for text in texts]
    if array.ndim == 0:
        return Key(dtype, None), texts[0]
    for width in reversed(array.shape[1:]):
        texts = [f"[{','.join(texts[i : i + width])}]" for i in range(0, len(texts), width)]
    return Key(dtype, array.shape[1:]), f"[{', '.join(texts)}]"


def _packed(array: NDArray[Any]) -> dict[str, Any]:
    """Return a map or a stack of maps as base64 of zlib of its bytes, little-endian, row after row."""
    data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    text = base64.b64encode(zlib.compress(data, 1)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib": text}


def decode(entry: Any, head: Head, where: str, restore: Restore) -> Predicted:
    """Make an entry, as parsed, a prediction.

    Args:
        entry: of a file.
        head: of the same file.
        where: names the file, for messages.
        restore: of the data set.

    Raises:
        DataError: something lacks, or is of another form.
    """
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
        raise DataError(f"{where}: expected entries with a text under 'id', got {str(entry)[:60]}")
    where = f"{where}: image {entry['id']!r}"
    size = entry.get("size")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise DataError(f"{where}: expected the size [height, width] of the image, got {size!r}")
    values = {
        name: _decoded(value, head.keys.get(name, Key()), f"{where}: {name}")
        for name, value in entry.items()
        if name not in OWN
    }
    _check(values, len(head.info.classes), where)
    _check_whole(values, head.info, (size[0], size[1]), where)
    try:
        prediction = restore(values, (size[0], size[1]))
    except DataError as error:
        raise DataError(*(f"{where}: {problem}" for problem in error.problems)) from None
    return Predicted(id=entry["id"], size=(size[0], size[1]), prediction=prediction, image_id=entry.get("image_id"))


def _decoded(value: Any, key: Key, where: str) -> Any:
    if isinstance(value, dict) and "zlib" in value:
        return _unpacked(value, where)
    if not key.dtype:
        return value
    try:
        tensor = torch.tensor(value, dtype=getattr(torch, key.dtype))
        return tensor if key.row is None else tensor.reshape(len(value), *key.row)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        row = "a number" if not key.row else f"{math.prod(key.row)} numbers"
        raise DataError(f"{where}: expected {row} of {key.dtype} for each object, got {str(value)[:60]}") from None


def _unpacked(value: Mapping[str, Any], where: str) -> Tensor:
    try:
        data = zlib.decompress(base64.b64decode(value["zlib"]))
    except (TypeError, ValueError, zlib.error):
        raise DataError(f"{where}: cannot be unpacked: it is no zlib stream") from None
    try:
        array = np.frombuffer(data, np.dtype(value["dtype"]).newbyteorder("<")).reshape(value["shape"])
        return torch.from_numpy(array.astype(value["dtype"]))
    except (TypeError, ValueError, KeyError):
        raise DataError(f"{where}: cannot be unpacked: it has {len(data)} bytes") from None


def _check(values: Mapping[str, Any], classes: int, where: str) -> None:
    """Refuse objects with a box and no score, and labels that no class has."""
    counts = {name: len(values[name]) for name in USUAL if isinstance(values.get(name), Tensor) and values[name].ndim}
    if len(set(counts.values())) > 1:
        came = ", ".join(f"{count} {name}" for name, count in counts.items())
        raise DataError(f"{where}: expected as many of each, got {came}")
    labels: Any = values.get("labels")
    if labels is not None and labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= classes):
        worst = labels[(labels < 0) | (labels >= classes)].flatten()[0]
        raise DataError(f"{where}: label {int(worst)}, expected an index under {classes}, the number of classes")


def _check_whole(values: Mapping[str, Any], info: DatasetInfo, size: tuple[int, int], where: str) -> None:
    """Refuse what is said of the image as a whole, or of its pixels, and does not fit its classes or its size."""
    count = len(info.classes)
    probabilities, label, pixels = (values.get(key) for key in ("probabilities", "label", "semantic"))
    if isinstance(probabilities, Tensor) and probabilities.shape != (count,):
        raise DataError(f"{where}: expected {count} probabilities, one for each class, got {probabilities.numel()}")
    if isinstance(label, Tensor) and not 0 <= int(label) < count:
        raise DataError(f"{where}: label {int(label)}, expected an index under {count}, the number of classes")
    polygons, scores = values.get("polygons"), values.get("scores")
    if isinstance(polygons, Tensor) and isinstance(scores, Tensor) and len(polygons) != len(scores):
        raise DataError(f"{where}: expected as many of each, got {len(polygons)} polygons, {len(scores)} scores")
    if isinstance(pixels, Tensor) and tuple(pixels.shape) != size:
        raise DataError(
            f"{where}: semantic: expected a map of {size}, the size of the image, got {tuple(pixels.shape)}"
        )


def joined_keys(seen: Sequence[Mapping[str, Key]]) -> Mapping[str, Key]:
    """Return what the keys are by what several processes saw; one that saw no image knows none."""
    return next((keys for keys in seen if keys), USUAL)
