"""The whole extension surface. A plugin implements any of these with ``@vf.hookimpl``.

Each hook is called once, when vf starts; it returns classes and does no work, so none may import torch, numpy
or any other heavy library. The names of a plugin module that says ``VF_TASK = "det"`` are seen by recipes of that task
alone, those of one that says nothing by all; two of one kind and name that one recipe would see are an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pluggy

from vf.protocols import (
    BackboneConfig,
    CallbackConfig,
    DatasetConfig,
    DownloadConfig,
    LauncherConfig,
    MetricConfig,
    ModelConfig,
    TransformConfig,
    WriterConfig,
)

if TYPE_CHECKING:
    from pathlib import Path

    import click

API_VERSION = 1
"""The plugin API. A plugin module may say ``VF_API = 1``; this version and the one before it load."""

PROJECT = "vf"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def vf_models() -> Mapping[str, type[ModelConfig]]:  # type: ignore[empty-body]
    """Models by name, chosen with ``model: {name: ...}``."""


@hookspec
def vf_backbones() -> Mapping[str, type[BackboneConfig]]:  # type: ignore[empty-body]
    """Backbones by name, chosen with ``backbone: {name: ...}`` inside a model."""


@hookspec
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:  # type: ignore[empty-body]
    """Data sets by name, chosen with ``data: {name: ...}`` or recognised by ``--data PATH``."""


@hookspec
def vf_transforms() -> Mapping[str, type[TransformConfig]]:  # type: ignore[empty-body]
    """Transforms by name, for the items of ``augment:``."""


@hookspec
def vf_metrics() -> Mapping[str, type[MetricConfig]]:  # type: ignore[empty-body]
    """Metrics by name, for the items of ``metrics:``."""


@hookspec
def vf_callbacks() -> Mapping[str, type[CallbackConfig]]:  # type: ignore[empty-body]
    """Callbacks by name, for the items of ``callbacks:``."""


@hookspec
def vf_launchers() -> Mapping[str, type[LauncherConfig]]:  # type: ignore[empty-body]
    """Launchers by name, chosen with ``launcher: {name: ...}`` or ``--launcher``."""


@hookspec
def vf_writers() -> Mapping[str, type[WriterConfig]]:  # type: ignore[empty-body]
    """Formats that data sets are written in, for ``vf data convert --to NAME``, ``split`` and ``merge``."""


@hookspec
def vf_downloads() -> Mapping[str, type[DownloadConfig]]:  # type: ignore[empty-body]
    """Published data sets by name, for ``vf data download NAME``."""


@hookspec
def vf_recipes() -> Mapping[str, Path]:  # type: ignore[empty-body]
    """Recipe names and their files; ``<task>/quickstart`` is what ``--task <task>`` alone runs."""


@hookspec
def vf_commands(cli: click.Group) -> None:
    """Add Click commands. Import what they need inside their bodies. A group ``data`` joins ours."""
