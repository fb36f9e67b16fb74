"""Checkpoint folders: written aside, fsynced, renamed; read back with their hashes checked. No pickle is loaded.

checkpoints/step_00000120/
    model.safetensors   the weights that predict, with recipe, classes and versions as metadata
    trainer.pt          optimizer, counters, random state; loads with weights_only=True
    manifest.json       size and sha256 of both
checkpoints/last, checkpoints/best   links to folders, replaced atomically
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import vf
from vf.engine import sharded
from vf.errors import CheckpointError, listed
from vf.protocols import DatasetInfo

WEIGHTS = "model.safetensors"
TRAINER = "trainer.pt"
MANIFEST = "manifest.json"
FORMAT = "1"


@attrs.frozen
class Weights:
    """The content of ``model.safetensors``."""

    tensors: dict[str, Tensor]
    recipe: str
    info: DatasetInfo
    versions: Mapping[str, str]


def save_weights(model: nn.Module, path: Path, *, recipe: str, info: DatasetInfo) -> None:
    """Write the one file that is enough to predict: weights, and as metadata the recipe, classes and versions."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    save_tensors(tensors, path, recipe=recipe, info=info)


def save_tensors(tensors: dict[str, Tensor], path: Path, *, recipe: str, info: DatasetInfo) -> None:
    """Write ``model.safetensors`` from tensors on the CPU; OSError where the disk refuses."""
    versions = {"vf": vf.__version__, "torch": torch.__version__}
    metadata = {
        "vf_format": FORMAT,
        "recipe": recipe,
        "info": json.dumps(attrs.asdict(info), ensure_ascii=False),
        "versions": json.dumps(versions),
    }
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        raise (OSError(int(code[1]), os.strerror(int(code[1]))) if code else OSError(str(error))) from error


def _save_trainer(trainer: Mapping[str, Any], path: Path) -> None:
    """Write ``trainer.pt``; OSError where the disk refuses, which torch hides behind an error of its zip writer."""
    try:
        with path.open("wb") as file:
            torch.save(dict(trainer), file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def read_weights(path: Path) -> Weights:
    """Read ``model.safetensors``.

    Raises:
        CheckpointError: the file is missing, broken, or was not written by vf.
    """
    tensors, metadata = read_safetensors(path)
    if metadata.get("vf_format") != FORMAT:
        raise CheckpointError(f"{path}: holds weights, but no vf recipe; expected a file that vf wrote")
    try:
        facts = json.loads(metadata["info"])
        for key in ("classes", *facts):
            facts[key] = tuple(facts[key]) if isinstance(facts[key], list) else facts[key]
        return Weights(tensors, metadata["recipe"], DatasetInfo(**facts), json.loads(metadata["versions"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its vf metadata is not readable ({type(error).__name__}: {error})") from None


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and the metadata of any safetensors file.

    Raises:
        CheckpointError: the file is missing or broken.
    """
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: not a readable safetensors file: {error}") from None


def load_into(model: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load every tensor; CheckpointError names what is missing, left over or of another shape."""
    own = model.state_dict()
    missing = [n for n in own if n not in tensors]
    unused = [n for n in tensors if n not in own]
    shapes = [
        f"{n} {tuple(tensors[n].shape)} for {tuple(t.shape)}"
        for n, t in own.items()
        if n in tensors and tensors[n].shape != t.shape
    ]
    if missing or unused or shapes:
        raise CheckpointError(
            f"{path}: does not fit the model: missing {listed(missing, limit=4)}; unused {listed(unused, limit=4)}; "
            f"other shapes {listed(shapes, limit=4)}"
        )
    model.load_state_dict({name: sharded.like(tensors[name], tensor) for name, tensor in own.items()})


def write(
    folder: Path,
    step: int,
    *,
    tensors: dict[str, Tensor],
    recipe: str,
    info: DatasetInfo,
    trainer: Mapping[str, Any],
) -> Path:
    """Write ``folder/step_XXXXXXXX`` so that it exists whole or not at all; return its path."""
    final = folder / f"step_{step:08d}"
    aside = folder / f".writing_{final.name}"
    folder.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder)
    aside.mkdir()
    save_tensors(tensors, aside / WEIGHTS, recipe=recipe, info=info)
    _save_trainer(trainer, aside / TRAINER)
    files = {
        name: {"size": (aside / name).stat().st_size, "sha256": sha256(aside / name)} for name in (WEIGHTS, TRAINER)
    }
    (aside / MANIFEST).write_text(json.dumps({"format": FORMAT, "step": step, "files": files}, indent=1))
    for name in (WEIGHTS, TRAINER, MANIFEST):
        _fsync(aside / name)
    _fsync(aside)
    _replace(aside, final)
    _fsync(folder)
    return final


def _replace(aside: Path, final: Path) -> None:
    """Rename; where the same step was saved before (without its evaluation), one of the two is there at any time."""
    old = final.with_name(f".old_{final.name}")
    if final.exists():
        os.rename(final, old)
    os.rename(aside, final)
    if old.exists():
        remove(old)


def remove(checkpoint: Path) -> None:
    """Delete a checkpoint; a process that is killed meanwhile leaves nothing that looks like a broken one."""
    gone = checkpoint.with_name(f".removing_{checkpoint.name.removeprefix('.old_')}")
    os.rename(checkpoint, gone)
    shutil.rmtree(gone)


def _clear_leftovers(folder: Path) -> None:
    """Delete what a process that was killed was writing, deleting or replacing."""
    for left in (*folder.glob(".writing_step_*"), *folder.glob(".removing_step_*")):
        shutil.rmtree(left)
    for old in folder.glob(".old_step_*"):
        if old.with_name(old.name.removeprefix(".old_")).exists():
            remove(old)


def point(folder: Path, name: str, target: Path) -> None:
    """Make ``folder/name`` a link to a checkpoint beside it, replacing the old one atomically."""
    fresh = folder / f".{name}.new"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target.name)
    os.replace(fresh, folder / name)
    _fsync(folder)


def verify(checkpoint: Path) -> None:
    """Compare sizes and hashes with the manifest; CheckpointError says what is wrong."""
    try:
        manifest = json.loads((checkpoint / MANIFEST).read_text())
        expected = {name: (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except FileNotFoundError:
        raise CheckpointError(f"{checkpoint}: has no {MANIFEST}; it was not finished") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise CheckpointError(f"{checkpoint / MANIFEST}: not readable") from None
    if unlisted := [name for name in (WEIGHTS, TRAINER) if name not in expected]:
        raise CheckpointError(f"{checkpoint / MANIFEST}: does not list {listed(unlisted)}")
    for name, (size, digest) in expected.items():
        file = checkpoint / name
        if not file.is_file():
            raise CheckpointError(f"{file}: missing")
        if file.stat().st_size != size:
            raise CheckpointError(f"{file}: has {file.stat().st_size} bytes, expected {size}")
        try:
            found = sha256(file)
        except OSError as error:
            raise CheckpointError(f"{file}: cannot be read: {error.strerror or error}") from None
        if found != digest:
            raise CheckpointError(f"{file}: its content changed since it was written (sha256 differs)")


def all_in(folder: Path) -> list[Path]:
    """Return the checkpoints of a run's folder, good or not, the oldest step first."""
    found = [*folder.glob(".old_step_*"), *folder.glob("step_*")]
    return sorted(found, key=lambda path: path.name.removeprefix(".old_"))  # of two of one step, the new one last


def newest_good(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """Return the newest checkpoint that verifies; each broken one is passed to ``tell`` as a line and skipped."""
    for checkpoint in reversed(all_in(folder)):
        try:
            verify(checkpoint)
        except CheckpointError as error:
            tell(f"skipped a broken checkpoint: {error}")
        else:
            return checkpoint
    return None


def read_trainer(checkpoint: Path, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Read ``trainer.pt``, which has the keys ``needed``; what is not tensors or plain data is refused, not run."""
    if not (checkpoint / TRAINER).is_file():
        raise CheckpointError(f"{checkpoint / TRAINER}: missing; this checkpoint can predict, but not resume")
    state = load_plain(checkpoint / TRAINER)
    if not isinstance(state, dict):
        raise CheckpointError(f"{checkpoint / TRAINER}: expected a mapping, got {type(state).__name__}")
    if lacks := [key for key in needed if key not in state]:
        raise CheckpointError(
            f"{checkpoint / TRAINER}: lacks {listed(lacks)}; this checkpoint can predict, but not resume"
        )
    return state


def load_plain(path: Path) -> Any:
    """Load a file of ``torch.save`` that holds tensors and plain data; anything else in it is refused, not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old pickle protocols and TorchScript: what matters is raised
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle, zip, runtime and end-of-file errors for broken files
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        if foreign:
            raise CheckpointError(
                f"{path}: refused: holds {foreign[1]}, expected tensors and plain data; nothing in it was run"
            ) from None
        raise CheckpointError(
            f"{path}: refused: not plain tensors and data, or broken ({type(error).__name__})"
        ) from None


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def naming_the_disk(folder: Path) -> Iterator[None]:
    """Turn an OSError while saving into a line that says what the disk said; the last checkpoint stays."""
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"{folder}: cannot save: {error.strerror or error}; the last good checkpoint is untouched"
        ) from error
