"""Config classes of published data sets. Free of torch.

Addresses are those of their authors. Their pages name no checksums but where it says so; sizes and digests are those
that TensorFlow Datasets (github.com/tensorflow/datasets, url_checksums and lvis/checksums.tsv) recorded, and for VOC
those of torchvision (torchvision.datasets.voc, md5), which others found too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import attrs

import vf
from vf.downloads import RemoteFile

__all__ = ["Balloon", "Coco2017", "Lvis", "Voc2007", "Voc2012"]

_COCO = "http://images.cocodataset.org"
_LVIS = "https://dl.fbaipublicfiles.com/LVIS"
_VOC = "http://host.robots.ox.ac.uk/pascal/VOC"


def _coco_images(split: str, size: int, digest: str, *, default: bool = True) -> RemoteFile:
    return RemoteFile(
        url=f"{_COCO}/zips/{split}2017.zip",
        part=split,
        size=size,
        digest=f"sha256:{digest}",
        stays=True,
        default=default,
    )


_TRAIN = _coco_images("train", 19336861798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929")
_VAL = _coco_images("val", 815585330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05")
_TEST = _coco_images(
    "test", 6646970404, "c7908c3c9f94ba2f3340ebbeec58c25db6be8774f18d68c2f15d0e369d95baba", default=False
)


@vf.config
class Coco2017:
    """COCO 2017: train and val; parts test (images without labels) and panoptic come when they are named."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        labels = RemoteFile(
            url=f"{_COCO}/annotations/annotations_trainval2017.zip",
            part="train",
            size=252907541,
            digest="sha256:113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
        )
        return [
            labels,
            attrs.evolve(labels, part="val"),
            RemoteFile(
                url=f"{_COCO}/annotations/image_info_test2017.zip",
                part="test",
                size=1144034,
                digest="sha256:e52f412dd7195ac8f98d782b44c6dd30ea10241e9f42521f67610fbe055a74f8",
                default=False,
            ),
            RemoteFile(
                url=f"{_COCO}/annotations/panoptic_annotations_trainval2017.zip",
                part="panoptic",
                size=860725834,
                digest="sha256:c05f76d2129b6b561eb70efe16e7006df62f73fb92889132d373b9d90e31a370",
                default=False,
            ),
            _TRAIN,
            _VAL,
            _TEST,
        ]


@vf.config
class Lvis:
    """LVIS v1: train and val with COCO's images; its val holds images of COCO's train, too."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        found = [
            RemoteFile(url=f"{_LVIS}/lvis_v1_{name}.json.zip", part=part, size=size, digest=f"sha256:{digest}")
            for name, part, size, digest in (
                ("train", "train", 350264821, "334a4caa374030a7817cf050364525e910f7960f9b6968cef47cffbf3893f8ba"),
                ("val", "val", 64026968, "5cae9a3c79aadb667550c2b5dcf7f4d86e059a41ec91ef690225b667e28e9ba5"),
            )
        ]
        return [*found, _TRAIN, attrs.evolve(_TRAIN, part="val"), _VAL]


@vf.config
class Voc2007:
    """Pascal VOC 2007: trainval and test, 20 classes."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        return [
            RemoteFile(
                url=f"{_VOC}/voc2007/VOCtrainval_06-Nov-2007.tar",
                part="train",
                size=460032000,
                digest="md5:c52e279531787c972589f7e41ab4ae64",
                strip="VOCdevkit",
            ),
            RemoteFile(
                url=f"{_VOC}/voc2007/VOCtest_06-Nov-2007.tar",
                part="test",
                size=451020800,
                digest="md5:b6e924de25625d8de591ea690078ad9f",
                strip="VOCdevkit",
            ),
        ]


@vf.config
class Voc2012:
    """Pascal VOC 2012: trainval; the labels of its test are not published."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        return [
            RemoteFile(
                url=f"{_VOC}/voc2012/VOCtrainval_11-May-2012.tar",
                part="train",
                size=1999639040,
                digest="md5:6cd6e144f989b92b3379bac3b3de84fd",
                strip="VOCdevkit",
            )
        ]


@vf.config
class Balloon:
    """Balloons with outlines, 61 and 13 images (Matterport, MIT): a small data set to try masks on."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file; neither its size nor a checksum is published."""
        return [
            RemoteFile(
                url="https://github.com/matterport/Mask_RCNN/releases/download/v2.1/balloon_dataset.zip",
                part="train",
                strip="balloon",
            )
        ]

    def finish(self, folder: Path) -> Sequence[str]:
        """Write COCO json beside the outlines, which come as the VGG Image Annotator writes them."""
        from vf_det.data.via import to_coco

        return to_coco(folder)
