"""Semantic segmentation: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import (
    BackboneConfig,
    DatasetConfig,
    DownloadConfig,
    MetricConfig,
    ModelConfig,
    TransformConfig,
    WriterConfig,
)
from vf_seg import (
    backbone_configs,
    data_configs,
    download_configs,
    light_configs,
    metric_configs,
    model_configs,
    transform_configs,
    writer_configs,
)

VF_API = 1
VF_TASK = "seg"


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Segmenters."""
    return {
        "fcn": model_configs.FCN,
        "pspnet": model_configs.PSPNet,
        "deeplabv3": model_configs.DeepLabV3,
        "deeplabv3plus": model_configs.DeepLabV3Plus,
        "upernet": model_configs.UPerNet,
        "ocrnet": model_configs.OCRNet,
        "segformer": model_configs.SegFormer,
        "unet": light_configs.UNet,
        "lraspp": light_configs.LRASPP,
        "fast_scnn": light_configs.FastSCNN,
        "smp": light_configs.SMP,
    }


@hookimpl
def vf_backbones() -> Mapping[str, type[BackboneConfig]]:
    """SegFormer's encoder."""
    return {"mit": backbone_configs.MiT}


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
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """What torchvision has not, or not for maps."""
    return {
        "random_scale": transform_configs.RandomScale,
        "random_crop": transform_configs.RandomCrop,
        "random_scale_crop": transform_configs.RandomScaleCrop,
        "resize_to_multiple": transform_configs.ResizeToMultiple,
        "photometric_distortion": transform_configs.PhotometricDistortion,
        "mosaic": transform_configs.Mosaic,
        "cutout": transform_configs.Cutout,
        "gamma": transform_configs.Gamma,
        "clahe": transform_configs.Clahe,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """Numbers of label maps."""
    return {"miou": metric_configs.MeanIoU, "boundary_iou": metric_configs.BoundaryIoU}


@hookimpl
def vf_writers() -> Mapping[str, type[WriterConfig]]:
    """Layouts that labels are written in."""
    return {"folders": writer_configs.Folders}


@hookimpl
def vf_downloads() -> Mapping[str, type[DownloadConfig]]:
    """Published data sets."""
    return {
        "camvid": download_configs.Camvid,
        "ade20k": download_configs.ADE20K,
        "voc12": download_configs.Voc2012,
        "coco_stuff": download_configs.CocoStuff,
        "loveda": download_configs.LoveDA,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/seg`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "seg"
    return {f"seg/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
