"""Detection: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vf import hookimpl
from vf.protocols import DatasetConfig, DownloadConfig, MetricConfig, ModelConfig, TransformConfig, WriterConfig
from vf_det import (
    data_configs,
    dense_configs,
    download_configs,
    metric_configs,
    model_configs,
    rcnn_configs,
    transform_configs,
    writer_configs,
)

VF_API = 1
VF_TASK = "det"


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Detectors."""
    return {
        "yolox": model_configs.YOLOX,
        "faster_rcnn": rcnn_configs.FasterRCNN,
        "mask_rcnn": rcnn_configs.MaskRCNN,
        "cascade_rcnn": rcnn_configs.CascadeRCNN,
        "panoptic_fpn": rcnn_configs.PanopticFPN,
        "retinanet": dense_configs.RetinaNet,
        "fcos": dense_configs.FCOS,
        "ssd": dense_configs.SSD,
    }


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated shapes, and the layouts that boxes, masks and label maps come in."""
    return {
        "shapes": data_configs.Shapes,
        "coco": data_configs.Coco,
        "voc": data_configs.Voc,
        "yolo": data_configs.Yolo,
        "csv": data_configs.Csv,
        "images": data_configs.Images,
        "lvis": data_configs.Lvis,
        "coco_panoptic": data_configs.CocoPanoptic,
        "coco_stuff": data_configs.CocoStuff,
        "cityscapes": data_configs.Cityscapes,
    }


@hookimpl
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """What torchvision has not, or has in another form."""
    return {
        "mosaic": transform_configs.Mosaic,
        "mixup": transform_configs.Mixup,
        "copy_paste": transform_configs.CopyPaste,
        "random_affine": transform_configs.RandomAffine,
        "hsv_jitter": transform_configs.HsvJitter,
        "photometric_distortion": transform_configs.PhotometricDistortion,
        "expand": transform_configs.Expand,
        "min_iou_crop": transform_configs.MinIouCrop,
        "resize_scales": transform_configs.ResizeScales,
        "rand_resize_crop": transform_configs.RandResizeCrop,
        "pad_to": transform_configs.PadTo,
        "albumentations": transform_configs.Albumentations,
    }


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """Average precision as the benchmarks count it, panoptic quality, and what the mistakes are."""
    return {
        "coco_ap": metric_configs.CocoAP,
        "voc_ap": metric_configs.VocAP,
        "lvis_ap": metric_configs.LvisAP,
        "cityscapes_ap": metric_configs.CityscapesAP,
        "panoptic_quality": metric_configs.PanopticQuality,
        "confusion_matrix": metric_configs.ConfusionMatrix,
        "error_analysis": metric_configs.ErrorAnalysis,
    }


@hookimpl
def vf_writers() -> Mapping[str, type[WriterConfig]]:
    """Layouts that labels are written in."""
    return {"coco": writer_configs.Coco, "yolo": writer_configs.Yolo}


@hookimpl
def vf_downloads() -> Mapping[str, type[DownloadConfig]]:
    """Published data sets."""
    return {
        "coco2017": download_configs.Coco2017,
        "lvis": download_configs.Lvis,
        "voc2007": download_configs.Voc2007,
        "voc2012": download_configs.Voc2012,
        "balloon": download_configs.Balloon,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/det`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "det"
    return {f"det/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}
