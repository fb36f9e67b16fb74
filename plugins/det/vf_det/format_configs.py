"""Config classes of the layouts that boxes come in. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

import vf
from vf.protocols import Split
from vf.schema import changed

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset, Results
    from vf_det.data.source import Source

__all__ = ["Coco", "Csv", "Files", "Images", "Voc", "Yolo", "names_as_a_list", "opened", "readable"]

T = TypeVar("T", bound="vf.protocols.DatasetConfig")


def names_as_a_list(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Refuse a text where names are expected: it would be taken for a list of letters."""
    if isinstance(value, str):
        raise ValueError(f"must be a list of names, got the text {value!r}")


def _endings(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Refuse endings of files that are no images."""
    from vf_det.coco_files import IMAGE_SUFFIXES

    names_as_a_list(instance, attribute, value)
    for ending in value:
        if f".{ending.lstrip('.').lower()}" not in IMAGE_SUFFIXES:
            known = ", ".join(suffix[1:] for suffix in IMAGE_SUFFIXES)
            raise ValueError(f"must be endings of images ({known}), got {ending!r}")


def opened(path: str) -> Storage | None:
    """Return what lies under a path, for ``sniff``; None where it is neither a folder nor a zip."""
    from vf.data.storage import open_storage

    place = Path(path)
    return open_storage(place) if place.is_dir() or (place.suffix.lower() == ".zip" and place.is_file()) else None


@vf.config
class Files:
    """What the layouts share."""

    path: str = vf.field(help="folder or zip of the data set")
    holdout: float = vf.field(
        default=0.1,
        help="part of train to validate on, where there is no split to do so; 0: none",
        validator=vf.within(0, 0.9),
    )

    def read(self, root: Storage) -> Source:
        """Read the label files."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What the label files say (a Source), read once for each config object."""
        from vf.data.storage import open_storage

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        # Millions of small objects that all stay alive: looking for dead ones takes 40 % of the time.
        collecting = gc.isenabled()
        gc.disable()
        try:
            return self.read(open_storage(self.path))
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
            palette=source.palette,
            stuff=source.stuff,
            keypoints=source.keypoints,
            category_ids=source.category_ids,
            unlabelled=tuple(split for split, part in source.parts.items() if not part.labelled),
        )

    def build(self, split: Split) -> Dataset:
        """Build one split; crowd regions and difficult objects are kept for evaluation only."""
        return self.build_as(split, evaluation=split != "train")

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split to train on or to evaluate on, whatever its name."""
        source = self.source
        if split not in source.parts:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(source.parts)}")
        return self.dataset(source, split, evaluation=evaluation)

    def dataset(self, source: Source, split: Split, *, evaluation: bool) -> Dataset:
        """Make the data set of a split that there is."""
        from vf_det.data.boxes import BoxDataset

        return BoxDataset(source.parts[split], normalised=source.normalised, with_crowd=evaluation)

    def results(self) -> Results:
        """Build what writes predictions as COCO's results."""
        from vf_det.results.coco import CocoResults

        return CocoResults()

    def as_delivered(self) -> Files:
        """The same data with all that their files hold, in the splits that they have."""
        return changed(self, holdout=0.0)

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds, and what would spoil a training."""
        from vf_det.data.boxes import findings

        return findings(self.source)


@vf.config
class Coco(Files):
    """COCO json: annotations/instances_train*.json and the like, with images in a folder or zip.

    Without the keys, a split's json is looked for as annotations/instances_SPLIT*.json, annotations/SPLIT*.json,
    SPLIT.json and SPLIT/_annotations.coco.json (``valid`` is val), and its images in images/SPLIT, SPLIT,
    SPLIT2017, images, JPEGImages and beside the json; each may be a zip of that name. The json of test may be
    without annotations, as COCO's image_info files are.
    """

    train: str = vf.field(default="", help="json to train on, relative to path; empty: looked for")
    val: str = vf.field(default="", help="json to validate on, relative to path; empty: looked for")
    test: str = vf.field(default="", help="json to test on, relative to path; empty: looked for")
    images_train: str = vf.field(default="", help="images of train, a folder or zip under path; empty: looked for")
    images_val: str = vf.field(default="", help="images of val, a folder or zip under path; empty: looked for")
    images_test: str = vf.field(default="", help="images of test, a folder or zip under path; empty: looked for")
    masks: bool = vf.field(default=False, help="read the objects' masks, polygons or run lengths")
    keypoints: bool = vf.field(default=False, help="read the objects' keypoints")

    def as_delivered(self) -> Files:
        """The same data with masks and keypoints, where the files have them of every object."""
        from vf_det.coco_files import COCO, contents

        keys = contents(self.path, self.files, COCO)
        whole = changed(
            self,
            holdout=0.0,
            masks=self.masks or b'"segmentation"' in keys,
            keypoints=self.keypoints or b'"keypoints"' in keys,
        )
        return readable(whole, changed(self, holdout=0.0))

    @property
    def files(self) -> Mapping[str, str]:
        """Split -> json, as given."""
        return {"train": self.train, "val": self.val, "test": self.test}

    @property
    def folders(self) -> Mapping[str, str]:
        """Split -> images, as given."""
        return {"train": self.images_train, "val": self.images_val, "test": self.images_test}

    def read(self, root: Storage) -> Source:
        """Read the json files."""
        from vf_det.data.coco import read

        return read(
            root,
            files=self.files,
            folders=self.folders,
            holdout=self.holdout,
            masks=self.masks,
            keypoints=self.keypoints,
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A json where COCO's would lie."""
        from vf_det.coco_files import COCO, any_split

        root = opened(path)
        return {"path": path} if root and any_split(root, COCO) else None


@vf.config
class Voc(Files):
    """Pascal VOC: Annotations/*.xml, JPEGImages/, and ImageSets/Main/SPLIT.txt where there are splits.

    The path may also hold several such folders, as VOCdevkit does (VOC2007, VOC2012); their splits are joined, or the
    lists are named: ``train: [VOC2007/trainval, VOC2012/trainval]``. Pixels are counted from 1 and both ends are
    inside, so a box becomes (xmin-1, ymin-1, xmax, ymax). Difficult objects are kept for evaluation.
    """

    train: tuple[str, ...] = vf.field(
        default=(), help="lists to train on, as YEAR/LIST; empty: looked for", validator=names_as_a_list
    )
    val: tuple[str, ...] = vf.field(
        default=(), help="lists to validate on; empty: looked for", validator=names_as_a_list
    )
    test: tuple[str, ...] = vf.field(default=(), help="lists to test on; empty: looked for", validator=names_as_a_list)
    classes: tuple[str, ...] = vf.field(
        default=(), help="names in order; empty: those in the labels, sorted", validator=names_as_a_list
    )
    keep_difficult: bool = vf.field(default=False, help="train on objects marked difficult too")

    def read(self, root: Storage) -> Source:
        """Read the XML files."""
        from vf_det.data.voc import read

        lists = {"train": self.train, "val": self.val, "test": self.test}
        return read(root, lists=lists, classes=self.classes, keep_difficult=self.keep_difficult, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A folder Annotations with XML files, or one in a folder like VOC2007."""
        root = opened(path)
        years = ["", *(f"{y}/" for y in root.folders() if y.startswith("VOC"))] if root else []
        found = root and any(name.endswith(".xml") for year in years for name in root.files(f"{year}Annotations"))
        return {"path": path} if found else None


@vf.config
class Yolo(Files):
    """YOLO txt: one file an image with lines ``class cx cy w h`` in parts of the image's size.

    Class names come from ``names``, data.yaml or classes.txt; splits from data.yaml, or from the folders
    images/SPLIT with labels/SPLIT, SPLIT/images with SPLIT/labels, or images with labels.
    """

    names: tuple[str, ...] = vf.field(
        default=(), help="class names by id; empty: from data.yaml or classes.txt", validator=names_as_a_list
    )

    def read(self, root: Storage) -> Source:
        """Read the txt files."""
        from vf_det.data.yolo import read

        return read(root, names=self.names, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A data.yaml, or a folder labels with txt files."""
        root = opened(path)
        if root is None:
            return None
        if root.has("data.yaml") or root.has("dataset.yaml"):
            return {"path": path}
        folders = ["labels", *(f"labels/{f}" for f in root.folders("labels")), *(f"{f}/labels" for f in root.folders())]
        return {"path": path} if any(n.endswith(".txt") for f in folders for n in root.files(f)) else None


@vf.config
class Csv(Files):
    """Rows ``image,x1,y1,x2,y2,class`` in train.csv, val.csv and test.csv; pixels from the upper left corner.

    An image without objects is a row with the image alone: ``a.jpg,,,,,``. A first row that names the columns is fine.
    """

    train: str = vf.field(default="", help="file to train on, relative to path; empty: train.csv")
    val: str = vf.field(default="", help="file to validate on, relative to path; empty: val.csv")
    test: str = vf.field(default="", help="file to test on, relative to path; empty: test.csv")
    images: str = vf.field(default="", help="folder or zip that the images' names are relative to; empty: path")
    classes: tuple[str, ...] = vf.field(
        default=(), help="names in order; empty: those in the rows, sorted", validator=names_as_a_list
    )

    def read(self, root: Storage) -> Source:
        """Read the csv files."""
        from vf_det.data.csv_rows import read

        files = {"train": self.train, "val": self.val, "test": self.test}
        return read(root, files=files, images=self.images, classes=self.classes, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A csv of a split with six columns."""
        root = opened(path)
        names = [n for n in ("train.csv", "val.csv", "valid.csv", "test.csv") if root and root.has(n)]
        first = [root.read(name).partition(b"\n")[0] for name in names] if root else []
        return {"path": path} if first and all(line.count(b",") == 5 for line in first) else None


@vf.config
class Images(Files):
    """Images without labels, in a folder, the folders below it, or a zip: a split ``test`` to predict on."""

    classes: tuple[str, ...] = vf.field(
        default=(), help="names in order; empty: those of the model are taken", validator=names_as_a_list
    )
    ext: tuple[str, ...] = vf.field(
        default=(), help="endings that count, as jpg, in small letters or large; empty: all", validator=_endings
    )
    exclude: tuple[str, ...] = vf.field(
        default=(), help="shell patterns of names to leave out, as thumbs/*", validator=names_as_a_list
    )

    def read(self, root: Storage) -> Source:
        """List the images."""
        from vf_det.data.images import read

        return read(root, classes=self.classes, ext=self.ext, exclude=self.exclude)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Images right in it, and nothing else."""
        import posixpath

        from vf_det.coco_files import IMAGE_SUFFIXES

        root = opened(path)
        files = [name for name in root.files() if not name.startswith(".")] if root else []
        plain = files and all(posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES for name in files)
        return {"path": path} if root and plain and not root.folders() else None


def readable(wanted: T, plain: T) -> T:
    """Return a config that reads all that is wanted, or the plain one where only that can be read."""
    try:
        wanted.info()
    except vf.DataError:
        return plain
    return wanted


def _hash(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]
