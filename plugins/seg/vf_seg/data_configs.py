"""Config classes of data sets. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import vf
from vf.protocols import Split
from vf_seg.folder_configs import Folders
from vf_seg.layout_configs import ADE20K, Camvid, Cityscapes, CocoStuff, LoveDA, Potsdam, Voc12

if TYPE_CHECKING:
    from vf.protocols import Dataset, Results

__all__ = [
    "ADE20K",
    "Camvid",
    "Cityscapes",
    "CocoStuff",
    "Folders",
    "LoveDA",
    "Potsdam",
    "Shapes",
    "Voc12",
]


@vf.config
class Shapes:
    """Generated images of rotated, overlapping shapes with a map of their classes; nothing is read or downloaded."""

    size: int = vf.field(default=96, help="side of the square images", unit="px", validator=vf.at_least(32))
    train: int = vf.field(default=2000, help="images to train on", validator=vf.positive())
    val: int = vf.field(default=100, help="images to validate on", validator=vf.positive())
    test: int = vf.field(default=200, help="images to test on", validator=vf.positive())
    min_objects: int = vf.field(default=1, help="fewest shapes drawn on an image", validator=vf.at_least(0))
    max_objects: int = vf.field(default=4, help="most shapes drawn on an image", validator=vf.positive())
    min_side: float = vf.field(default=0.25, help="smallest shape, as a part of size", validator=vf.within(0.05, 1))
    max_side: float = vf.field(default=0.6, help="largest shape, as a part of size", validator=vf.within(0.05, 1))
    seed: int = vf.field(default=0, help="other seeds give other images", validator=vf.at_least(0))

    def __attrs_post_init__(self) -> None:
        if self.min_objects > self.max_objects:
            raise ValueError(f"min_objects {self.min_objects} > max_objects {self.max_objects}")
        if self.min_side > self.max_side:
            raise ValueError(f"min_side {self.min_side:g} > max_side {self.max_side:g}")

    def info(self) -> vf.DatasetInfo:
        """Known without drawing anything."""
        import hashlib

        from vf.data.shapes import CLASSES

        return vf.DatasetInfo(
            classes=("background", *CLASSES),
            task="seg",
            num_samples={"train": self.train, "val": self.val, "test": self.test},
            fingerprint=hashlib.sha256(repr(self).encode()).hexdigest()[:16],
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        from vf.data.shapes import Settings
        from vf_seg.data.shapes import ShapesDataset

        settings = Settings(
            size=self.size,
            min_objects=self.min_objects,
            max_objects=self.max_objects,
            min_side=self.min_side,
            max_side=self.max_side,
            seed=self.seed,
        )
        return ShapesDataset(settings, split, self.info().num_samples[split], evaluation=evaluation)

    def results(self) -> Results:
        """Build what writes predictions as maps of class indices."""
        from vf_seg.results.maps import MapResults

        return MapResults()

    def check(self) -> Sequence[vf.Finding]:
        """Generated maps are right by construction."""
        return []

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """No folder holds generated images."""
        return None
