"""Config classes of the layouts that boxes come in. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

import vf
from vf.protocols import Split

if TYPE_CHECKING:
    from vf.protocols import Dataset
    from vf_det.data.source import Source


def _names(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, str):
        raise ValueError(f"must be a list of names, got the text {value!r}")


@vf.config
class _Files:
    """What the three layouts share."""

    path: str = vf.field(help="folder of the data set")
    holdout: float = vf.field(
        default=0.1,
        help="part of train to validate on, where there is no split to do so",
        validator=vf.within(0.01, 0.9),
    )

    def read(self) -> Source:
        """Read the label files."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What the label files say (a Source), read once for each config object."""
        if not Path(self.path).is_dir():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        # Millions of small objects that all stay alive: looking for dead ones takes 40 % of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self.read()
        finally:
            if collecting:
                gc.enable()

    def info(self) -> vf.DatasetInfo:
        """Read the label files; DataError with one line for each mistake in them."""
        source = self.source
        joined = "".join(p.annotations.fingerprint(source.classes) for p in source.parts.values())
        return vf.DatasetInfo(
            classes=source.classes,
            task="det",
            num_samples={split: len(part.annotations) for split, part in source.parts.items()},
            fingerprint=_hash(joined),
            notes=source.notes,
        )

    def build(self, split: Split) -> Dataset:
        """Build one split; crowd regions and difficult objects are kept for evaluation only."""
        from vf_det.data.boxes import BoxDataset

        source = self.source
        if split not in source.parts:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(source.parts)}")
        return BoxDataset(source.parts[split], normalised=source.normalised, with_crowd=split != "train")

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds, and what would spoil a training."""
        from vf_det.data.boxes import findings

        return findings(self.source)


@vf.config
class Coco(_Files):
    """COCO json: annotations/instances_train*.json and the like, with images in a folder.

    Without the keys, a split's json is looked for as annotations/instances_SPLIT*.json, annotations/SPLIT*.json,
    SPLIT.json and SPLIT/_annotations.coco.json (``valid`` is val), and its images in images/SPLIT, SPLIT,
    SPLIT2017, images, JPEGImages and beside the json.
    """

    train: str = vf.field(default="", help="json to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="json to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="json to test on, relative to path; empty: looked for")
    images_train: str = vf.field(default="", help="image folder of train, relative to path; empty: looked for")
    images_val: str = vf.field(default="", help="image folder of val, relative to path; empty: looked for")
    images_test: str = vf.field(default="", help="image folder of test, relative to path; empty: looked for")

    def read(self) -> Source:
        """Read the json files."""
        from vf_det.data.coco import read

        return read(
            Path(self.path),
            files={"train": self.train, "val": self.val, "test": self.test},
            folders={"train": self.images_train, "val": self.images_val, "test": self.images_test},
            holdout=self.holdout,
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json where COCO's would lie."""
        from vf_det.coco_files import candidates

        root = Path(path)
        return {"path": path} if any(candidates(root, split) for split in ("train", "val", "test")) else None


@vf.config
class Voc(_Files):
    """Pascal VOC: Annotations/*.xml, JPEGImages/, and ImageSets/Main/SPLIT.txt where there are splits.

    Pixels are counted from 1 and both ends are inside, so a box becomes (xmin-1, ymin-1, xmax, ymax).
    """

    classes: tuple[str, ...] = vf.field(
        default=(), help="names in order; empty: those in the labels, sorted", validator=_names
    )
    keep_difficult: bool = vf.field(default=False, help="train on objects marked difficult too")

    def read(self) -> Source:
        """Read the XML files."""
        from vf_det.data.voc import read

        return read(Path(self.path), classes=self.classes, keep_difficult=self.keep_difficult, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A folder Annotations with XML files."""
        found = next(Path(path, "Annotations").glob("*.xml"), None)
        return {"path": path} if found else None


@vf.config
class Yolo(_Files):
    """YOLO txt: one file an image with lines ``class cx cy w h`` in parts of the image's size.

    Class names come from ``names``, data.yaml or classes.txt; splits from data.yaml, or from the folders
    images/SPLIT with labels/SPLIT, SPLIT/images with SPLIT/labels, or images with labels.
    """

    names: tuple[str, ...] = vf.field(
        default=(), help="class names by id; empty: from data.yaml or classes.txt", validator=_names
    )

    def read(self) -> Source:
        """Read the txt files."""
        from vf_det.data.yolo import read

        return read(Path(self.path), names=self.names, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A data.yaml, or a folder labels with txt files."""
        root = Path(path)
        if any((root / name).is_file() for name in ("data.yaml", "dataset.yaml")):
            return {"path": path}
        folders = [root / "labels", *root.glob("labels/*/"), *root.glob("*/labels/")]
        return {"path": path} if any(next(f.glob("*.txt"), None) for f in folders) else None


def _hash(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]
