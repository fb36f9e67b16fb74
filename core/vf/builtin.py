"""Core's own plugin: what it brings comes through the same hooks as anybody's."""

from __future__ import annotations

from collections.abc import Mapping

from vf import backbones, decoded_configs
from vf import builtin_configs as configs
from vf import color_configs as colors
from vf import transform_configs as moves
from vf import wrapper_configs as wrappers
from vf.hookspecs import API_VERSION, hookimpl
from vf.protocols import BackboneConfig, CallbackConfig, DatasetConfig, LauncherConfig, TransformConfig

VF_API = API_VERSION


@hookimpl
def vf_backbones() -> Mapping[str, type[BackboneConfig]]:
    """Networks that every plugin's models may stand on."""
    return {
        "resnet": backbones.ResNet,
        "hrnet": backbones.HRNet,
        "tv": backbones.Torchvision,
        "timm": backbones.Timm,
        "vgg16_ssd": backbones.VGG16SSD,
    }


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Data sets that are made of other data sets."""
    return {
        "decoded": decoded_configs.Decoded,
        "repeat": wrappers.Repeat,
        "concat": wrappers.Concat,
        "class_balanced": wrappers.ClassBalanced,
        "subset": wrappers.Subset,
        "kfold": wrappers.KFold,
    }


@hookimpl
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """torchvision's transforms v2, as far as they keep boxes, masks and keypoints right."""
    return {
        "horizontal_flip": moves.HorizontalFlip,
        "vertical_flip": moves.VerticalFlip,
        "resize": moves.Resize,
        "random_resize": moves.RandomResize,
        "shortest_size": moves.ShortestSize,
        "scale_jitter": moves.ScaleJitter,
        "crop": moves.Crop,
        "center_crop": moves.CenterCrop,
        "resized_crop": moves.ResizedCrop,
        "iou_crop": moves.IouCrop,
        "zoom_out": moves.ZoomOut,
        "pad": moves.Pad,
        "affine": moves.Affine,
        "rotation": moves.Rotation,
        "perspective": moves.Perspective,
        "elastic_transform": moves.ElasticTransform,
        "random_apply": moves.RandomApply,
        "random_choice": moves.RandomChoice,
        "random_order": moves.RandomOrder,
        "color_jitter": colors.ColorJitter,
        "photometric_distort": colors.PhotometricDistort,
        "grayscale": colors.Grayscale,
        "gaussian_blur": colors.GaussianBlur,
        "gaussian_noise": colors.GaussianNoise,
        "solarize": colors.Solarize,
        "posterize": colors.Posterize,
        "equalize": colors.Equalize,
        "autocontrast": colors.Autocontrast,
        "adjust_sharpness": colors.AdjustSharpness,
        "invert": colors.Invert,
        "channel_permutation": colors.ChannelPermutation,
        "erasing": colors.Erasing,
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
