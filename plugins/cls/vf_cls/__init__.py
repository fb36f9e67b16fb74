"""Classification: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig
from vf_cls import data_configs

VF_API = 1
VF_TASK = "cls"


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated shapes, and the layouts that labelled images come in."""
    return {
        "shapes": data_configs.Shapes,
        "folder": data_configs.Folder,
        "list": data_configs.List,
        "cifar10": data_configs.Cifar10,
        "cifar100": data_configs.Cifar100,
        "mnist": data_configs.Mnist,
        "fashion_mnist": data_configs.FashionMnist,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/cls`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "cls"
    return {f"cls/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
