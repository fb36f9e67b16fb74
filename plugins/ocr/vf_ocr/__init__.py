"""Text found, text read, or both: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig, MetricConfig, ModelConfig
from vf_ocr import detection_configs, generated_configs, hmean_configs

VF_API = 1
VF_TASK = "ocr"


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Detectors of text."""
    return {
        "dbnet": detection_configs.DBNet,
        "dbnetpp": detection_configs.DBNetPP,
        "psenet": detection_configs.PSENet,
        "panet": detection_configs.PANet,
    }


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated words and pages."""
    return {
        "words": generated_configs.Words,
        "pages": generated_configs.Pages,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """How much text is found."""
    return {
        "hmean": hmean_configs.Hmean,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/ocr`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "ocr"
    return {f"ocr/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
