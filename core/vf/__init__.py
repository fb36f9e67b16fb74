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


def load(checkpoint: str | Path, **options: Any) -> Predictor:
    """Load ``model.safetensors`` (or a checkpoint or run folder) for prediction; see vf.predict.Predictor."""
    from vf.predict import Predictor

    return Predictor.load(checkpoint, **options)
