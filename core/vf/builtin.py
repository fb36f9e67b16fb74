"""Core's own plugin: what it brings comes through the same hooks as anybody's."""

from __future__ import annotations

from collections.abc import Mapping

from vf import builtin_configs as configs
from vf.hookspecs import API_VERSION, hookimpl
from vf.protocols import CallbackConfig, LauncherConfig, TransformConfig

VF_API = API_VERSION


@hookimpl
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """torchvision's transforms v2."""
    return {
        "horizontal_flip": configs.HorizontalFlip,
        "vertical_flip": configs.VerticalFlip,
        "color_jitter": configs.ColorJitter,
    }


@hookimpl
def vf_callbacks() -> Mapping[str, type[CallbackConfig]]:
    """What a recipe may add to the loop."""
    return {
        "ema": configs.Ema,
        "swa": configs.Swa,
        "early_stop": configs.EarlyStop,
        "freeze": configs.Freeze,
        "multi_scale": configs.MultiScale,
        "precise_bn": configs.PreciseBN,
        "image_log": configs.ImageLog,
        "lr_monitor": configs.LrMonitor,
        "profiler": configs.Profiler,
    }


@hookimpl
def vf_launchers() -> Mapping[str, type[LauncherConfig]]:
    """This machine."""
    return {"local": configs.Local}
