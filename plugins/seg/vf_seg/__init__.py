"""Semantic segmentation: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig, MetricConfig
from vf_seg import data_configs, metric_configs

VF_API = 1
VF_TASK = "seg"


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated shapes, any pair of folders, and the layouts of published data sets."""
    return {
        "shapes": data_configs.Shapes,
        "folders": data_configs.Folders,
        "camvid": data_configs.Camvid,
        "cityscapes": data_configs.Cityscapes,
        "ade20k": data_configs.ADE20K,
        "voc12": data_configs.Voc12,
        "coco_stuff": data_configs.CocoStuff,
        "loveda": data_configs.LoveDA,
        "potsdam": data_configs.Potsdam,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """Numbers of label maps."""
    return {"miou": metric_configs.MeanIoU, "boundary_iou": metric_configs.BoundaryIoU}


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/seg`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "seg"
    return {f"seg/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
