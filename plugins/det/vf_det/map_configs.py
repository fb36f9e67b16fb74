"""Config classes of data sets with masks and label maps. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vf
from vf.protocols import Split
from vf.schema import changed
from vf_det.format_configs import Coco, Files, opened, readable

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset, Results
    from vf_det.data.source import Source

__all__ = ["Cityscapes", "CocoPanoptic", "CocoStuff", "Lvis"]


@vf.config
class Lvis(Files):
    """LVIS v1: lvis_v1_train.json and the like, with COCO's images, as train2017/ and val2017/ or zips of them.

    Targets have ``negative`` and ``not_exhaustive``, class indices for each image, and ``frequency`` for each object.
    """

    train: str = vf.field(default="", help="json to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="json to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="json to test on, relative to path; empty: looked for")
    images: str = vf.field(default="", help="folder that holds train2017 and val2017; empty: images, path, beside json")
    masks: bool = vf.field(default=False, help="read the objects' masks")

    def read(self, root: Storage) -> Source:
        """Read the json files."""
        from vf_det.data.lvis import read

        files = {"train": self.train, "val": self.val, "test": self.test}
        return read(root, files=files, given=self.images, holdout=self.holdout, masks=self.masks)

    def as_delivered(self) -> Files:
        """The same data with masks, where the files have them of every object."""
        plain = changed(self, holdout=0.0)
        return readable(changed(plain, masks=True), plain)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json where LVIS's would lie, and none of COCO's."""
        from vf_det.coco_files import COCO, LVIS, any_split

        root = opened(path)
        return {"path": path} if root and any_split(root, LVIS) and not any_split(root, COCO) else None


@vf.config
class CocoPanoptic(Files):
    """COCO panoptic: annotations/panoptic_train2017.json and the like, PNG files in a folder of that name, images.

    Classes are the things, ``stuff`` the rest. Targets have ``semantic`` beside boxes, in evaluation also ``panoptic``
    and ``segments``.
    """

    train: str = vf.field(default="", help="json to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="json to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="json to test on, relative to path; empty: looked for")
    images_train: str = vf.field(default="", help="images of train, a folder or zip under path; empty: looked for")
    images_val: str = vf.field(default="", help="images of val, a folder or zip under path; empty: looked for")
    images_test: str = vf.field(default="", help="images of test, a folder or zip under path; empty: looked for")
    maps_train: str = vf.field(default="", help="PNG files of train, a folder or zip; empty: named as the json")
    maps_val: str = vf.field(default="", help="PNG files of val, a folder or zip; empty: named as the json")
    maps_test: str = vf.field(default="", help="PNG files of test, a folder or zip; empty: named as the json")
    masks: bool = vf.field(default=False, help="give the masks of things, too")

    def read(self, root: Storage) -> Source:
        """Read the json files."""
        from vf_det.data.panoptic import read

        return read(
            root,
            files={"train": self.train, "val": self.val, "test": self.test},
            folders={"train": self.images_train, "val": self.images_val, "test": self.images_test},
            maps={"train": self.maps_train, "val": self.maps_val, "test": self.maps_test},
            holdout=self.holdout,
        )

    def as_delivered(self) -> Files:
        """The same data with the masks of things, in the splits that they have."""
        return changed(self, holdout=0.0, masks=True)

    def dataset(self, source: Source, split: Split, *, evaluation: bool) -> Dataset:
        """Make the data set of a split that there is."""
        from vf_det.data.panoptic import PanopticDataset, PanopticPart

        part, categories = source.parts[split], len(source.classes) + len(source.stuff)
        assert isinstance(part, PanopticPart)
        return PanopticDataset(part, categories=categories, masks=self.masks, with_crowd=evaluation)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json where COCO's panoptic ones would lie, and none of its others."""
        from vf_det.coco_files import COCO, PANOPTIC, any_split

        root = opened(path)
        return {"path": path} if root and any_split(root, PANOPTIC) and not any_split(root, COCO) else None


@vf.config
class CocoStuff(Coco):
    """COCO json with a map of classes and stuff beside each image: stuffthingmaps/train2017/*.png and the like.

    Targets have ``semantic`` beside what COCO gives, a map of indices among ``classes`` and ``stuff``.
    """

    maps_train: str = vf.field(default="", help="PNG files of train, a folder or zip; empty: under stuffthingmaps")
    maps_val: str = vf.field(default="", help="PNG files of val, a folder or zip; empty: under stuffthingmaps")
    maps_test: str = vf.field(default="", help="PNG files of test, a folder or zip; empty: under stuffthingmaps")
    stuff: str = vf.field(default="", help="json whose categories name the stuff; empty: COCO-stuff's 91")
    first_id: int = vf.field(default=1, help="category id of the pixel value 0", validator=vf.within(0, 1))

    def read(self, root: Storage) -> Source:
        """Read the json files, and look for the maps."""
        from vf_det.data.source import Problems
        from vf_det.data.stuff import with_maps

        problems = Problems()
        maps = {"train": self.maps_train, "val": self.maps_val, "test": self.maps_test}
        objects = super().read(root)
        source = with_maps(objects, root, maps=maps, stuff=self.stuff, first=self.first_id, problems=problems)
        problems.raise_any()
        return source

    def dataset(self, source: Source, split: Split, *, evaluation: bool) -> Dataset:
        """Make the data set of a split that there is."""
        from vf_det.data.stuff import StuffDataset, StuffPart

        part = source.parts[split]
        assert isinstance(part, StuffPart)
        return StuffDataset(part, with_crowd=evaluation)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """None: a folder like this is COCO's, unless the recipe says otherwise."""
        return None


@vf.config
class Cityscapes:
    """Cityscapes as it is delivered: leftImg8bit/ and gtFine/, or the zips; objects come from *_gtFine_instanceIds.png.

    The 8 classes that have objects; groups of them are crowds. Nothing is converted or read ahead.
    """

    path: str = vf.field(help="folder that holds leftImg8bit and gtFine")
    images: str = vf.field(default="leftImg8bit", help="folder or zip of the images, under path")
    labels: str = vf.field(default="gtFine", help="folder or zip of the labels, under path")
    masks: bool = vf.field(default=False, help="give the objects' masks")
    semantic: bool = vf.field(default=False, help="give a map of the 19 classes, from *_gtFine_labelIds.png")

    @functools.cached_property
    def found(self) -> Any:
        """Split -> its scenes, and notes; listed once for each config object."""
        from vf.data.storage import open_storage
        from vf_det.data.cityscapes import read

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        return read(open_storage(self.path), images=self.images, labels=self.labels)

    def info(self) -> vf.DatasetInfo:
        """List the files; DataError where labels are missing."""
        from vf_det.data.cityscapes import PALETTE, STUFF, THINGS

        splits, notes = self.found
        return vf.DatasetInfo(
            classes=tuple(THINGS),
            task="det",
            num_samples={split: len(scenes) for split, scenes in splits.items()},
            fingerprint="".join(scenes.fingerprint() for scenes in splits.values()),
            notes=notes,
            palette=PALETTE,
            stuff=tuple(STUFF),
            category_ids=(*THINGS.values(), *STUFF.values()),
            unlabelled=tuple(split for split, scenes in splits.items() if not scenes.labelled),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split; groups are kept for evaluation only."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        from vf_det.data.cityscapes import CityscapesDataset

        splits, _ = self.found
        if split not in splits:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(splits)}")
        return CityscapesDataset(splits[split], masks=self.masks, semantic=self.semantic, with_crowd=evaluation)

    def as_delivered(self) -> Cityscapes:
        """The same data with masks."""
        return changed(self, masks=True)

    def results(self) -> Results:
        """Build what writes predictions for Cityscapes' server."""
        from vf_det.results.cityscapes import CityscapesResults

        return CityscapesResults()

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds; the maps themselves are read sample by sample."""
        splits, _ = self.found
        return [vf.Finding("note", f"{split}: {len(scenes)} images") for split, scenes in splits.items()]

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """The folders leftImg8bit and gtFine, or zips of these names."""
        root = opened(path)
        found = root and root.has_folder("leftImg8bit") and root.has_folder("gtFine")
        return {"path": path} if found else None
