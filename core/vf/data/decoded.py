"""Samples whose pixels are kept as they are in memory: decoded once, then read where they lie, in parts if need be.

A file is a line of JSON, padded to :data:`HEAD` bytes, and the pixels of the image and of its maps one after another.
It is mapped into memory: a transform that cuts a window reads the pages of that window alone.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors

from vf.data.relabel import id_of
from vf.data.sample import Sample
from vf.errors import DataError
from vf.protocols import Dataset

HEAD = 4096
IMAGE = "image"


class Decoded:
    """A data set that keeps the pixels of its samples in files.

    Args:
        dataset: whose samples they are. What of a target is no map comes from its ``target``.
        folder: of the files; made where it is missing.
    """

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self._dataset: Any = dataset
        self._folder = folder

    def __len__(self) -> int:
        return len(self._dataset)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "_dataset":  # while it is unpickled, there is none
            raise AttributeError(name)
        return getattr(self._dataset, name)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(index)
        path = self.path(index)
        if not path.exists():
            sample: Sample = self._dataset[index]
            _write(path, sample)
            return sample
        return self._read(path, index)

    def path(self, index: int) -> Path:
        """Return the file of a sample; another one where its image has another size in bytes."""
        name = id_of(self._dataset, index)
        tell = getattr(self._dataset, "file_of", None)
        if tell is not None:
            storage, file = tell(index)
            name += f"\0{storage.size(file)}"
        key = hashlib.blake2b(name.encode(), digest_size=12).hexdigest()
        return self._folder / key[:2] / f"{key[2:]}.pixels"

    def _read(self, path: Path, index: int) -> Sample:
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            head = json.loads(data[:HEAD])
            arrays = {one["key"]: _view(data, one) for one in head["arrays"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}: cannot be read ({error}); remove it, and it is made again") from None
        image = tv_tensors.Image(torch.from_numpy(arrays.pop(IMAGE)).permute(2, 0, 1))
        target: dict[str, Any] = dict(arrays)
        for key in head["tensors"]:
            target[key] = tv_tensors.Mask(torch.from_numpy(arrays[key]))
        if not head["whole"]:
            height, width = image.shape[-2:]
            target = {**self._dataset.target(index, (int(height), int(width))), **target}
        return Sample(image, target, head["id"])


def _view(data: mmap.mmap, one: dict[str, Any]) -> NDArray[Any]:
    count = int(np.prod(one["shape"]))
    return np.frombuffer(data, np.dtype(one["dtype"]), count, one["offset"]).reshape(one["shape"])


def _write(path: Path, sample: Sample) -> None:
    arrays = {IMAGE: sample.image.as_subclass(Tensor).permute(1, 2, 0).contiguous().numpy()}
    for key, value in sample.target.items():
        if isinstance(value, tv_tensors.Mask) and value.ndim == 2:
            arrays[key] = value.as_subclass(Tensor).contiguous().numpy()
        elif isinstance(value, np.ndarray) and value.ndim == 2:
            arrays[key] = np.ascontiguousarray(value)
    rows, offset = [], HEAD
    for key, array in arrays.items():
        rows.append({"key": key, "shape": array.shape, "dtype": array.dtype.str, "offset": offset})
        offset += -(-array.nbytes // HEAD) * HEAD
    tensors = [key for key in arrays if isinstance(sample.target.get(key), Tensor)]
    head = {"id": sample.id, "whole": set(sample.target) <= set(arrays), "tensors": tensors, "arrays": rows}
    text = json.dumps(head).encode()
    if len(text) > HEAD:
        raise DataError(f"{path}: its head takes {len(text)} bytes, expected {HEAD} at most; is the name so long?")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(text.ljust(HEAD))
            for row, array in zip(rows, arrays.values(), strict=True):
                file.seek(int(row["offset"]))
                file.write(array.data)
            file.truncate(offset)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DataError(
            f"{path}: cannot be written: {error.strerror or error}; make room or name another place with data.folder"
        ) from None


def kept(sizes: NDArray[np.int64]) -> int:
    """Return the bytes that samples of these heights and widths [N,2] take, each with one map."""
    pixels = sizes.astype(np.int64).prod(1)
    return int((HEAD + -(-3 * pixels // HEAD) * HEAD + -(-pixels // HEAD) * HEAD).sum())
