"""Read torch files that hold more than tensors and plain data, with everything else left out and nothing of it run.

Checkpoints of a training keep histories, schedulers and the like beside the weights, as pickled objects. Here a
pickle can name any class it likes: unless it is one of the few that tensors are made of, an empty object takes its
place, and its constructor is not called.
"""

from __future__ import annotations

import pickle
import re
import warnings
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import torch

from vf.errors import CheckpointError

TENSORS = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch", "device"): torch.device,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
"""All that a pickle can call here."""


class Inert:
    """Stands for an object that was left out; takes whatever a pickle gives it."""

    def __new__(cls, *args: Any, **options: Any) -> Inert:
        """Take anything, keep nothing."""
        return object.__new__(cls)

    def __init__(self, *args: Any, **options: Any) -> None:
        pass

    def __call__(self, *args: Any, **options: Any) -> Inert:
        """Where a left-out object is called, nothing is."""
        return self

    def __setstate__(self, state: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        """Where a left-out object is a kind of list."""

    def extend(self, items: Any) -> None:
        """Likewise."""

    def add(self, item: Any) -> None:
        """Where it is a kind of set."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Where it is a kind of mapping."""

    def __hash__(self) -> int:
        return id(self)


def load_inert(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return what a file of ``torch.save`` holds, and the names of what was left out, sorted.

    Raises:
        CheckpointError: it is broken.
    """
    left_out: set[str] = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in TENSORS:
                return TENSORS[module, name]
            if module == "torch" and isinstance(kind := getattr(torch, name, None), torch.dtype):
                return kind
            left_out.add(f"{module}.{name}")
            return Inert

    def load(file: IO[bytes], **options: Any) -> Any:
        return Unpickler(file, **options).load()

    reader = SimpleNamespace(Unpickler=Unpickler, load=load, UnpicklingError=pickle.UnpicklingError, __name__="inert")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", pickle_module=reader, weights_only=False)
    except Exception as error:  # whatever a broken pickle leads to
        reason = re.split(r"\n", str(error))[0][:200] or type(error).__name__
        raise CheckpointError(f"{path}: cannot be read: {reason}") from None
    return content, tuple(sorted(left_out))
