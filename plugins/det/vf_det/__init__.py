"""Detection: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig, MetricConfig, ModelConfig, TransformConfig
from vf_det import data_configs, model_configs

VF_API = 1


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Detectors."""
    return {"yolox": model_configs.YOLOX}


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated shapes, and the three layouts that boxes come in."""
    return {
        "shapes": data_configs.Shapes,
        "coco": data_configs.Coco,
        "voc": data_configs.Voc,
        "yolo": data_configs.Yolo,
    }


@hookimpl
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """What torchvision has not: transforms that join images."""
    return {
        "mosaic": data_configs.Mosaic,
        "mixup": data_configs.Mixup,
        "random_affine": data_configs.RandomAffine,
        "hsv_jitter": data_configs.HsvJitter,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """Average precision."""
    return {"coco_ap": data_configs.CocoAP}


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/det`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "det"
    return {f"det/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
