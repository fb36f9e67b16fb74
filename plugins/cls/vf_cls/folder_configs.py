"""Config classes of image folders and of lists of images. Free of torch and numpy until they are read."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vf
from vf.protocols import Split
from vf.schema import changed

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Dataset
    from vf_cls.data.source import Source

__all__ = ["Files", "Folder", "List"]

NO_CLASSES = frozenset(
    {
        *("images", "image", "imgs", "img", "jpegimages", "labels", "masks", "mask", "annotations", "annotation"),
        *("ann", "gt", "segmentationclass", "segmentationobject", "imagesets", "leftimg8bit", "gtfine"),
    }
)
"""Folders of other layouts that hold images too: no class is called so, where a layout is looked for."""
SPLIT_LIKE = re.compile(r"(train|val|valid|test|trainval)[-_]?\d*")
"""Likewise folders as train2017."""
LABEL_FILES = (".json", ".jsonl", ".csv", ".tsv", ".txt", ".xml", ".yaml", ".yml")
"""Beside class folders without splits, they say more than those."""


@vf.config
class Files:
    """What folders and lists share."""

    path: str = vf.field(help="folder or zip of the data set")
    holdout: float = vf.field(
        default=0.1,
        help="part of train to validate on, where there is no split to do so; 0: none",
        validator=vf.within(0, 0.9),
    )

    def read(self, root: Storage) -> Source:
        """Read the names and labels."""
        raise NotImplementedError(f"{type(self).__name__} reads nothing")

    @functools.cached_property
    def source(self) -> Any:  # attrs evaluates the annotation, and Source would import numpy
        """What there is (a Source), read once for each config object."""
        from vf.data.storage import open_storage

        if not Path(self.path).exists():
            raise vf.DataError(f"{self.path}: no such folder; data.path names the folder of the data set")
        return self.read(open_storage(self.path))

    def info(self) -> vf.DatasetInfo:
        """Read names and labels; DataError with one line for each mistake in them."""
        source = self.source
        joined = "".join(part.labels.fingerprint(source.classes) for part in source.parts.values())
        return vf.DatasetInfo(
            classes=source.classes,
            task="cls",
            num_samples={split: len(part.labels) for split, part in source.parts.items()},
            fingerprint=hashlib.sha256(joined.encode()).hexdigest()[:16],
            notes=source.notes,
            unlabelled=tuple(split for split, part in source.parts.items() if not part.labelled),
            multi_label=source.multi_label,
        )

    def build(self, split: Split) -> Dataset:
        """Build one split."""
        from vf_cls.data.images import LabelledImages

        parts = self.source.parts
        if split not in parts:
            raise vf.DataError(f"{self.path}: has no split {split!r}; it has {', '.join(parts)}")
        return LabelledImages(parts[split])

    def as_delivered(self) -> Files:
        """The same data in the splits that the files have."""
        return changed(self, holdout=0.0)

    def check(self) -> Sequence[vf.Finding]:
        """Say what each split holds, and what would spoil a training."""
        from vf_cls.data.source import findings

        return findings(self.source)


@vf.config
class Folder(Files):
    """Images in a folder for each class: train/CLASS/*.jpg, val/CLASS/*.jpg, or CLASS/*.jpg alone; also ImageNet.

    Classes are the folders of train, sorted. Splits are also found as training, valid, validation and testing, and
    where ImageNet's archives have them; train, val and test may each be a zip.
    """

    train: str = vf.field(default="", help="folder or zip to train on, under path; empty: looked for")
    val: str = vf.field(default="", help="folder or zip to validate on, under path; empty: looked for")
    test: str = vf.field(default="", help="folder or zip to test on, under path; empty: looked for")
    classes: str = vf.field(
        default="", help="file under path with lines 'FOLDER NAME' that name the classes; empty: LOC_synset_mapping.txt"
    )
    val_list: str = vf.field(
        default="", help="file under path with lines 'IMAGE LABEL' for a val without class folders; empty: looked for"
    )

    def read(self, root: Storage) -> Source:
        """List the images."""
        from vf_cls.data.folder import read

        given: dict[Split, str] = {"train": self.train, "val": self.val, "test": self.test}
        return read(root, given=given, names=self.classes, val_list=self.val_list, holdout=self.holdout)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Class folders with images, in a folder of a split or at once."""
        from vf.protocols import SPLITS

        root = _opened(path)
        if root is None:
            return None
        from vf_cls.data.folder import is_split_folder, split_folder

        names = [name for split in SPLITS if (name := split_folder(root, split))]
        place = root.within(names[0]) if names else root
        folders = [name.lower() for name in place.folders()]
        taken = any(name in NO_CLASSES or SPLIT_LIKE.fullmatch(name) for name in folders)
        bare = len(folders) > 1 and not any(name.lower().endswith(LABEL_FILES) for name in root.files())
        return {"path": path} if (names or bare) and not taken and is_split_folder(place) else None


@vf.config
class List(Files):
    """Lists of images and labels, a file a split: txt, csv, tsv, json or json lines; one label an image, or several.

    Lines are ``PATH LABEL`` (txt), ``PATH,LABEL`` (csv, with or without a row of heads), or {"image": …, "label": …}.
    A label is a class name or a number; several are a json list, or parts between a separator.
    """

    train: str = vf.field(default="", help="list to train on, under path; empty: train.txt, meta/train.csv, …")
    val: str = vf.field(default="", help="list to validate on, under path; empty: looked for")
    test: str = vf.field(default="", help="list to test on, under path; may lack labels; empty: looked for")
    images: str = vf.field(default="", help="folder or zip that the images' names are relative to; empty: path")
    classes: str = vf.field(default="", help="file under path with a class name a line; empty: as in the list of train")
    separator: str = vf.field(default="", help="between several labels of one image in txt and csv; empty: one label")
    multi_label: bool = vf.field(default=False, help="any number of labels, even where each image has one")

    def read(self, root: Storage) -> Source:
        """Read the lists."""
        from vf_cls.data.lists import read

        files: dict[Split, str] = {"train": self.train, "val": self.val, "test": self.test}
        return read(
            root,
            files=files,
            images=self.images,
            classes=self.classes,
            separator=self.separator,
            multi_label=self.multi_label,
            holdout=self.holdout,
        )

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """A list of a split whose first image is there."""
        root = _opened(path)
        if root is None:
            return None
        from vf_cls.data.lists import looks_listed

        return {"path": path} if looks_listed(root) else None


def _opened(path: str) -> Storage | None:
    """Return what lies under a path, for ``sniff``; None where it is neither a folder nor a zip."""
    from vf.data.storage import open_storage

    place = Path(path)
    return open_storage(place) if place.is_dir() or (place.suffix.lower() == ".zip" and place.is_file()) else None
