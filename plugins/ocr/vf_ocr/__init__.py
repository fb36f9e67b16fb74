"""Text found, text read, or both: what this plugin adds to vf. Free of torch; the classes import it when they build."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vf import hookimpl
from vf.protocols import BackboneConfig, DatasetConfig, MetricConfig, ModelConfig, TransformConfig, WriterConfig
from vf_ocr import (
    backbone_configs,
    detection_configs,
    generated_configs,
    hmean_configs,
    page_configs,
    reading_configs,
    recognition_configs,
    spotter_configs,
    transform_configs,
    word_configs,
    writer_configs,
)

if TYPE_CHECKING:
    import click

VF_API = 1
VF_TASK = "ocr"


@hookimpl
def vf_models() -> Mapping[str, type[ModelConfig]]:
    """Models that find text, that read it, that do both."""
    return {
        "dbnet": detection_configs.DBNet,
        "dbnetpp": detection_configs.DBNetPP,
        "psenet": detection_configs.PSENet,
        "panet": detection_configs.PANet,
        "crnn": recognition_configs.CRNN,
        "svtr_tiny": recognition_configs.SVTRTiny,
        "nrtr": recognition_configs.NRTR,
        "parseq": recognition_configs.PARSeq,
        "spotter": spotter_configs.Spotter,
    }


@hookimpl
def vf_backbones() -> Mapping[str, type[BackboneConfig]]:
    """What text is found on."""
    return {"slim": backbone_configs.Slim}


@hookimpl
def vf_datasets() -> Mapping[str, type[DatasetConfig]]:
    """Generated words and pages, and the layouts that pages and words come in."""
    return {
        "words": generated_configs.Words,
        "pages": generated_configs.Pages,
        "icdar": page_configs.Icdar,
        "total_text": page_configs.TotalText,
        "ctw1500": page_configs.Ctw1500,
        "textocr": page_configs.TextOcr,
        "paddle_det": page_configs.PaddlePages,
        "mmocr": page_configs.MmocrPages,
        "word_list": word_configs.WordList,
        "word_folder": word_configs.WordFolder,
        "lmdb": word_configs.Lmdb,
        "crops": word_configs.Crops,
    }


@hookimpl
def vf_transforms() -> Mapping[str, type[TransformConfig]]:
    """Of pages, whose polygons follow, and of words."""
    return {
        "text_crop": transform_configs.TextCrop,
        "text_rotate": transform_configs.TextRotate,
        "text_flip": transform_configs.TextFlip,
        "pad_ratio": transform_configs.PadRatio,
        "rescale_height": transform_configs.RescaleHeight,
        "word_warp": transform_configs.WordWarp,
        "word_fault": transform_configs.WordFault,
        "word_colour": transform_configs.WordColour,
        "word_crop": transform_configs.WordCrop,
    }


@hookimpl
def vf_writers() -> Mapping[str, type[WriterConfig]]:
    """Layouts that labels are written in."""
    return {"icdar": writer_configs.Icdar, "word_list": writer_configs.WordList}


@hookimpl
def vf_metrics() -> Mapping[str, type[MetricConfig]]:
    """How much text is found, and how well it is read."""
    return {
        "hmean": hmean_configs.Hmean,
        "word_accuracy": reading_configs.WordAccuracy,
        "characters": reading_configs.Characters,
        "one_minus_ned": reading_configs.OneMinusNED,
    }


@hookimpl
def vf_recipes() -> Mapping[str, Path]:
    """Recipes from the wheel, or from ``configs/ocr`` of the checkout that this package lies in."""
    packed = Path(__file__).parent / "recipes"
    folder = packed if packed.is_dir() else Path(__file__).parents[3] / "configs" / "ocr"
    return {f"ocr/{file.stem}": file for file in sorted(folder.glob("*.yaml"))}


@hookimpl
def vf_commands(cli: click.Group) -> None:
    """``vf ocr``, and ``vf data charset``."""
    from vf_ocr.commands import ocr
    from vf_ocr.data_commands import data

    cli.add_command(ocr)
    cli.add_command(data)
