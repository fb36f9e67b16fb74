"""vf: one command line for every vision task, where a task is a plugin.

What a plugin may import from here is ``__all__``; torch is imported by none of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vf.errors import CheckpointError, ConfigError, DataError, PluginError, RunError, SetupError, VFError
from vf.hookspecs import API_VERSION, hookimpl
from vf.protocols import DatasetInfo, Finding
from vf.schema import Duration, at_least, config, each, field, positive, within

if TYPE_CHECKING:
    from pathlib import Path

    from vf.predict import Predictor

__version__ = "0.1.0"

__all__ = [
    "API_VERSION",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "DatasetInfo",
    "Duration",
    "Finding",
    "PluginError",
    "RunError",
    "SetupError",
    "VFError",
    "__version__",
    "at_least",
    "config",
    "each",
    "field",
    "hookimpl",
    "load",
    "positive",
    "within",
]


def load(checkpoint: str | Path, *, device: str = "auto", precision: str = "fp32", **options: Any) -> Predictor:
    """Load a run, a checkpoint or ``model.safetensors``: ``vf.load(RUN)("a.jpg").draw().save("out.jpg")``.

    Args:
        checkpoint: a run folder (its best checkpoint, else its last), a checkpoint folder, or the file alone. A recipe
            has no weights: train it first.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: ``fp32``, ``bf16``, ``fp16`` or ``auto``.
        options: see :meth:`vf.predict.Predictor.load`.

    Raises:
        CheckpointError: it is missing, broken, or a recipe.
    """
    from vf.predict import Predictor

    return Predictor.load(checkpoint, device=device, precision=precision, **options)
