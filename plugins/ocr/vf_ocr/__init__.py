"""Text found, text read, or both: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig
from vf_ocr import generated_configs

VF_API = 1
VF_TASK = "ocr"


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated words and pages."""
    return {
        "words": generated_configs.Words,
        "pages": generated_configs.Pages,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/ocr`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "ocr"
    return {f"ocr/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
