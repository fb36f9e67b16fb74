"""Config classes of data sets with a label map beside each image. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.protocols import Split
from vf.schema import changed

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset, Results
    from vf_seg.data.pairs import Source

__all__ = ["ADE20K", "Camvid", "Cityscapes", "CocoStuff", "LoveDA", "Maps", "Potsdam", "Voc12", "opened"]


def opened(path: str) -> Storage | None:
    """Return what lies under a path, for ``sniff``; None where it is neither a folder nor a zip."""
    from vf.data.storage import open_storage

    place = Path(path)
    return open_storage(place) if place.is_dir() or (place.suffix.lower() == ".zip" and place.is_file()) else None


@vf.config
class Maps:
    """What the layouts share."""

    path: str = vf.field(help="folder or zip of the data set")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What was found (a Source), once for each config object."""
        from vf.data.storage import open_storage

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        return self.read(open_storage(self.path))

    def info(self) -> vf.DatasetInfo:
        """List the files; DataError where images have no map."""
        import hashlib

        source = self.source
        joined = "".join(pairs.fingerprint() for pairs in source.splits.values())
        return vf.DatasetInfo(
            classes=source.classes,
            task="seg",
            num_samples={split: len(pairs) for split, pairs in source.splits.items()},
            fingerprint=hashlib.sha256("\0".join((joined, *source.classes)).encode()).hexdigest()[:16],
            notes=source.notes,
            palette=source.palette,
            category_ids=source.ids,
            unlabelled=tuple(split for split, pairs in source.splits.items() if pairs.maps is None),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        from vf_seg.data.pairs import MapDataset

        source = self.source
        if split not in source.splits:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(source.splits)}")
        return MapDataset(source.splits[split], classes=len(source.classes), evaluation=evaluation)

    def results(self) -> Results:
        """Build what writes predictions as maps like those of the data set."""
        from vf_seg.results.maps import MapResults

        return MapResults()

    def check(self) -> Sequence[vf.Finding]:
        """Read up to 500 maps of each split, and say what they hold and what would spoil a training."""
        from vf_seg.data.scan import findings

        return findings(self.source)


@vf.config
class Camvid(Maps):
    """CamVid as SegNet has it (arXiv 1511.00561): train/*.png beside trainannot/*.png, 11 classes.

    The value 11 is void: ignored in training and in every number, unless ``void: class`` makes it the 12th class.
    Published figures differ in that; compare only those of one rule.
    """

    void: Literal["ignored", "class"] = vf.field(default="ignored", help="what becomes of the value 11")
    holdout: float = vf.field(
        default=0.1, help="part of train to validate on, where there is no val; 0: none", validator=vf.within(0, 0.9)
    )

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import camvid

        return camvid(root, void=self.void == "class", holdout=self.holdout)

    def as_delivered(self) -> Camvid:
        """The same data in the splits that it has."""
        return changed(self, holdout=0.0)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Folders train and trainannot, and nothing that names other classes."""
        root = opened(path)
        found = root and root.has_folder("train") and root.has_folder("trainannot") and not root.has("classes.txt")
        return {"path": path} if found else None


@vf.config
class Cityscapes(Maps):
    """Cityscapes as it is delivered: leftImg8bit/ and gtFine/, or the zips; maps are *_gtFine_labelIds.png.

    The 19 classes of the benchmark; the other labels are ignored. Where only *_gtFine_labelTrainIds.png lie there,
    these are read. A test split without labels can be predicted.
    """

    images: str = vf.field(default="leftImg8bit", help="folder or zip of the images, under path")
    labels: str = vf.field(default="gtFine", help="folder or zip of the labels, under path")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import cityscapes

        return cityscapes(root, images=self.images, labels=self.labels)

    def results(self) -> Results:
        """Build what writes label ids for Cityscapes' server."""
        from vf_seg.results.maps import MapResults

        return MapResults(flat=True, drop="_leftImg8bit", add="_pred_labelIds")

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The folders leftImg8bit and gtFine, or zips of these names."""
        root = opened(path)
        found = root and root.has_folder("leftImg8bit") and root.has_folder("gtFine")
        return {"path": path} if found else None


@vf.config
class ADE20K(Maps):
    """ADE20K's scene parsing benchmark (ADEChallengeData2016): images/training, annotations/training, 150 classes.

    The value 0 (other) is ignored and 1 to 150 are the classes, which others call "reduce zero label". Images under
    images/testing have no maps and can be predicted.
    """

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import ade20k

        return ade20k(root)

    def results(self) -> Results:
        """Build what writes values 1 to 150, as its server takes them."""
        from vf_seg.results.maps import MapResults

        return MapResults(flat=True)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The folders images/training and annotations/training, and its list of objects or images of its names."""
        root = opened(path)
        if root is None or not (root.has_folder("images/training") and root.has_folder("annotations/training")):
            return None
        named = any(name.startswith("ADE_") for name in root.files("images/training")[:1])
        return {"path": path} if named or root.has("objectInfo150.txt") else None


@vf.config
class Voc12(Maps):
    """Pascal VOC 2012: JPEGImages, SegmentationClass/*.png, lists in ImageSets/Segmentation; 20 classes and background.

    With ``augmented`` maps come from SegmentationClassAug, which hold SBD's (Hariharan et al., ICCV 2011) as PNG, and
    train is the list trainaug.txt or train_aug.txt. The value 255, the edge of objects, is ignored.
    """

    train: str = vf.field(default="", help="list to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="list to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="list to predict, relative to path; empty: looked for")
    augmented: bool = vf.field(default=False, help="train on the 10,582 images of SBD and VOC")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import voc

        inner = next((f for f in ("VOC2012", "VOCdevkit/VOC2012") if root.has_folder(f"{f}/JPEGImages")), "")
        lists = {"train": self.train, "val": self.val, "test": self.test}
        return voc(root.within(inner) if inner else root, lists=lists, augmented=self.augmented)

    def results(self) -> Results:
        """Build what writes class indices with VOC's palette."""
        from vf_seg.results.maps import MapResults

        return MapResults(flat=True, palette=True)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The folders JPEGImages and SegmentationClass, with a list of the latter."""
        root = opened(path)
        inner = ("", "VOC2012/", "VOCdevkit/VOC2012/")
        found = root and any(
            root.has_folder(f"{f}SegmentationClass") and root.has_folder(f"{f}ImageSets/Segmentation") for f in inner
        )
        return {"path": path} if found else None


@vf.config
class CocoStuff(Maps):
    """COCO-Stuff 164k: train2017/*.jpg beside stuffthingmaps/train2017/*.png; 80 things and 91 of stuff.

    Values are COCO's ids less 1, or indices where the maps are called *_labelTrainIds.png; 255 is ignored.
    """

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import coco_stuff

        return coco_stuff(root)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The folder stuffthingmaps."""
        root = opened(path)
        return {"path": path} if root and root.has_folder("stuffthingmaps") else None


@vf.config
class LoveDA(Maps):
    """LoveDA as it is delivered (arXiv 2110.08733): Train/Urban/images_png beside masks_png; 7 classes of land.

    The value 0 (no data) is ignored, 1 to 7 are the classes. Test has no maps and can be predicted.
    """

    scenes: tuple[Literal["Urban", "Rural"], ...] = vf.field(default=("Urban", "Rural"), help="which are read")

    def __attrs_post_init__(self) -> None:
        if not self.scenes:
            raise ValueError("scenes: is an empty list; expected Urban, Rural or both")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import loveda

        return loveda(root, scenes=self.scenes)

    def results(self) -> Results:
        """Build what writes class indices from 0, as its server takes them."""
        from vf_seg.results.maps import MapResults

        return MapResults(flat=True, indices=True)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A folder images_png in Train/Urban, Train/Rural or those of the other splits."""
        root = opened(path)
        splits = [root.within(name) for name in ("Train", "Val", "Test") if root.has_folder(name)] if root else []
        scenes = [f"{scene}/images_png" for scene in ("Urban", "Rural")]
        return {"path": path} if any(split.has_folder(scene) for split in splits for scene in scenes) else None


@vf.config
class Potsdam(Maps):
    """Tiles of ISPRS Potsdam: img_dir/train/*.png beside ann_dir/train/*.png; 6 classes of a city from above.

    Maps have the contest's colours, or with ``maps: values`` 1 to 6 in the order of the classes; black, or 0, is
    ignored. The contest's own pictures of 6000×6000 px must be cut into tiles first.
    """

    maps: Literal["colours", "values"] = vf.field(default="colours", help="what the pixels of the maps are")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.layouts import potsdam

        return potsdam(root, colours=self.maps == "colours")

    def results(self) -> Results:
        """Build what writes the contest's colours, or values."""
        from vf_seg.results.maps import MapResults

        return MapResults(colours=self.maps == "colours")

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: nothing in a folder like this says what it shows."""
        return None
