"""Classification: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig, DownloadConfig, MetricConfig, ModelConfig, TransformConfig, WriterConfig
from vf_cls import (
    data_configs,
    download_configs,
    metric_configs,
    mixing_configs,
    model_configs,
    transform_configs,
    writer_configs,
)

VF_API = 1
VF_TASK = "cls"


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Classifiers, and what is made of them."""
    return {
        "torchvision": model_configs.Torchvision,
        "timm": model_configs.Timm,
        "cifar_resnet": model_configs.CifarResNet,
        "linear_probe": model_configs.LinearProbe,
        "distilled": model_configs.Distilled,
    }


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
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """What mixes the images of a batch, on the device, and what torchvision has for images alone or not at all."""
    return {
        "rand_augment": transform_configs.RandAugment,
        "auto_augment": transform_configs.AutoAugment,
        "trivial_augment": transform_configs.TrivialAugment,
        "aug_mix": transform_configs.AugMix,
        "three_augment": transform_configs.ThreeAugment,
        "lighting": transform_configs.Lighting,
        "random_erasing": transform_configs.RandomErasing,
        "resize_short": transform_configs.ResizeShort,
        "mixup": mixing_configs.Mixup,
        "cutmix": mixing_configs.CutMix,
        "resize_mix": mixing_configs.ResizeMix,
        "batch_mix": mixing_configs.BatchMix,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """Numbers of classification."""
    return {
        "accuracy": metric_configs.Accuracy,
        "precision_recall": metric_configs.PrecisionRecall,
        "multi_label": metric_configs.MultiLabel,
        "confusion_matrix": metric_configs.ConfusionMatrix,
        "calibration": metric_configs.Calibration,
        "knn": metric_configs.KNN,
    }


@hookimpl
def vf_writers() -> Mapping[str, type[WriterConfig]]:
    """Layouts that labels are written in."""
    return {"folder": writer_configs.Folder, "list": writer_configs.List}


@hookimpl
def vf_downloads() -> Mapping[str, type[DownloadConfig]]:
    """Published data sets."""
    return {
        "cifar10": download_configs.Cifar10,
        "cifar100": download_configs.Cifar100,
        "mnist": download_configs.Mnist,
        "fashion_mnist": download_configs.FashionMnist,
        "imagenette": download_configs.Imagenette,
        "imagenette320": download_configs.Imagenette320,
        "imagenette160": download_configs.Imagenette160,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/cls`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "cls"
    return {f"cls/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
