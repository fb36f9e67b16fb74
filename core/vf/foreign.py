"""Weights of other libraries: what is in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor

from vf.engine.checkpoint import load_plain, read_safetensors
from vf.errors import CheckpointError, listed
from vf.inert import load_inert
from vf.weights import counted

SOURCES = ("torchvision", "mmdet", "mmseg", "mmpretrain", "mmocr", "yolox", "timm", "other")
"""Libraries; other: whatever the plugin of a model knows besides."""
NESTS = ("state_dict", "model", "module", "params")
"""Keys under which a file may keep its weights; mmdet's state_dict are the averaged ones where there are any."""
WRITERS = ("mmdet_version", "mmseg_version", "mmpretrain_version", "mmocr_version", "mmcv_version", "mmengine_version")
"""Keys of OpenMMLab's meta that say who wrote a file."""


@attrs.frozen(kw_only=True)
class Foreign:
    """A file of weights as it was read."""

    path: Path
    tensors: dict[str, Tensor]
    under: str
    """Key that they lay under; empty: none."""
    facts: Mapping[str, str]
    """What else is there, by key: a version, how much of it."""
    classes: tuple[str, ...] = ()
    """As the file names them."""
    left_out: tuple[str, ...] = ()
    """Classes of objects that were not unpickled."""
    written_by: str = ""


def read_foreign(path: Path) -> Foreign:
    """Read the tensors of a file of torch or safetensors; objects of other kinds are left out, nothing is run.

    Raises:
        CheckpointError: it is missing, broken, or holds no named tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    left_out: tuple[str, ...] = ()
    if path.suffix == ".safetensors":
        content: Any = read_safetensors(path)[0]
    else:
        try:
            content = load_plain(path)
        except CheckpointError:
            content, left_out = load_inert(path)
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path}: expected a mapping of named tensors, got {type(content).__name__}")
    under, tensors = _weights(content)
    if not tensors:
        keys = listed(map(str, content), limit=8)
        raise CheckpointError(f"{path}: holds no named tensors, alone or under {listed(NESTS)}; its keys are {keys}")
    meta = content.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    return Foreign(
        path=path,
        tensors=_bare(tensors),
        under=under,
        facts={} if content is tensors or not under else _facts(content, under),
        classes=_classes(meta),
        left_out=left_out,
        written_by=", ".join(f"{n.removesuffix('_version')} {meta[n]}" for n in WRITERS if n in meta),
    )


def _weights(content: Mapping[Any, Any]) -> tuple[str, dict[str, Tensor]]:
    for key in NESTS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and (found := _named(inner)):
            return key, found
    return "", _named(content)


def _named(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value.detach() for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }


def _bare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Take off what DistributedDataParallel and torch.compile put before every name."""
    for prefix in ("module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors):
            return _bare({name.removeprefix(prefix): value for name, value in tensors.items()})
    return tensors


def _facts(content: Mapping[Any, Any], under: str) -> dict[str, str]:
    """Say what lies beside the weights."""
    facts = {}
    for key, value in content.items():
        if key == under:
            continue
        if isinstance(value, Mapping):
            keys = listed(map(str, value), limit=6)
            facts[str(key)] = f"{len(value)} entries: {keys}"
        elif isinstance(value, str | int | float | bool | None):
            facts[str(key)] = str(value)[:80]
        else:
            facts[str(key)] = type(value).__name__ if type(value).__module__ == "builtins" else "not read"
    return facts


def _classes(meta: Mapping[Any, Any]) -> tuple[str, ...]:
    """Return the classes that mmdet 2 (CLASSES) and 3 (dataset_meta) write."""
    facts = meta.get("dataset_meta")
    inner = facts if isinstance(facts, Mapping) else {}
    for names in (meta.get("CLASSES"), inner.get("classes"), inner.get("CLASSES")):
        if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
            return tuple(names)
    return ()


def describe(foreign: Foreign) -> Iterator[str]:
    """Yield lines that say what is in a file."""
    names = counted(foreign.tensors)
    numbers = sum(foreign.tensors[name].numel() for name in names)
    yield f"file  {foreign.path}: {len(names)} tensors, {numbers / 1e6:.2f} M numbers" + (
        f", under {foreign.under!r}" if foreign.under else ""
    )
    if foreign.written_by:
        yield f"file  written by {foreign.written_by}"
    for key, text in foreign.facts.items():
        yield f"file  ignored {key!r}: {text}"
    if foreign.left_out:
        yield f"file  left out, not run: objects of {listed(foreign.left_out, limit=6)}"
    if foreign.classes:
        yield f"file  {len(foreign.classes)} classes: {listed(foreign.classes)}"
    for prefix, members in _by_prefix(names).items():
        shapes = listed([f"{n} {tuple(foreign.tensors[n].shape)}" for n in members[:2]])
        yield f"  {prefix}: {len(members)} tensors, as {shapes}"


def _by_prefix(names: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(name.partition(".")[0], []).append(name)
    return groups
