"""Read images in a folder for each class."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from vf.data.joined import Joined
from vf.data.reading import Problems, list_images, walk_images
from vf.data.storage import Storage
from vf.errors import DataError, did_you_mean, listed
from vf.protocols import SPLITS, Split
from vf_cls.data.labels import Builder
from vf_cls.data.named import VAL_LISTS, named_images, read_names
from vf_cls.data.source import Part, Source, part_notes, with_val

ALIASES: dict[Split, tuple[str, ...]] = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
NESTED = ("", "Data/CLS-LOC", "ILSVRC/Data/CLS-LOC")
"""Where ImageNet's archives have the folders of splits."""
MAPPINGS = ("LOC_synset_mapping.txt", "synset_words.txt", "ILSVRC/LOC_synset_mapping.txt")
"""Files of ImageNet that name the folders."""


@attrs.frozen(eq=False)
class Place:
    """Where the images of a split lie: class folders, or files right in a folder."""

    root: Storage
    classes: tuple[str, ...]
    """Names of the class folders, sorted; empty: there are only files."""


def read(
    root: Storage, *, given: Mapping[Split, str], names: str, val_list: str, holdout: float, whole: bool = True
) -> Source:
    """Read a folder or zip; DataError with one line for each mistake.

    Args:
        root: of the data set.
        given: split -> folder or zip of it, empty: looked for.
        names: file with lines ``FOLDER NAME``, seen from the root; empty: one of ImageNet, where it is there.
        val_list: file with lines ``IMAGE LABEL`` for a val of plain files; empty: one of ImageNet.
        holdout: part of train to validate on where there is no val.
        whole: whether an empty class folder is a mistake.
    """
    problems = Problems()
    places = _given(root, given) if any(given.values()) else _found(root)
    folders = next((places[s].classes for s in SPLITS if s in places and places[s].classes), ())
    if not folders:
        raise DataError(f"{root.where()}: holds no class folders; expected train/CLASS/IMAGE, or CLASS/IMAGE")
    titles = read_names(root, names, MAPPINGS)
    order, classes, where = _classes(folders, titles, problems)
    images = _storage(root, places)
    parts: dict[Split, Part] = {}
    listed_val = _val_list(root, val_list)
    for split, place in places.items():
        prefix = f"{split}/" if isinstance(images, Joined) else ""
        builder, files = Builder(), list(list_images(place.root).values())
        if place.classes:
            _fill(builder, place, prefix, order, problems, whole=whole)
        elif split == "val" and listed_val:
            for file, label in named_images(root, listed_val, files, classes, order, problems):
                builder.add(prefix + file, (label,))
        elif split == "test":
            for file in files:
                builder.add(prefix + file, ())
        else:
            problems.add(
                f"{place.root.where()}: holds {len(files)} images and no class folders; put them into folders, or say "
                "data.val_list, a file with lines 'IMAGE LABEL'"
            )
        parts[split] = Part(images, builder.freeze(), labelled=bool(place.classes) or split != "test")
    problems.raise_any()
    beside = _beside(places)
    parts, notes = with_val(parts, holdout)
    return Source(classes, parts, (*where, *notes, *part_notes(parts, multi_label=False), *beside))


def is_split_folder(root: Storage) -> bool:
    """Whether a folder holds class folders: cheap, for sniffing."""
    folders = class_folders(root)
    return len(folders) >= 1 and all(list_images(root, name) for name in folders[:2])


def class_folders(root: Storage) -> tuple[str, ...]:
    """Return the folders that can be classes, sorted."""
    return tuple(name for name in root.folders() if not name.startswith((".", "__")))


def split_folder(root: Storage, split: Split) -> str:
    """Return the folder of a split under one of its names; empty where there is none."""
    known = (posixpath.join(nest, alias) for nest in NESTED for alias in ALIASES[split])
    return next((name for name in known if root.has_folder(name)), "")


def _given(root: Storage, given: Mapping[Split, str]) -> dict[Split, Place]:
    """Open the folders or zips that the user names."""
    places: dict[Split, Place] = {}
    for split, name in given.items():
        if not name:
            continue
        if not root.has_folder(name):
            raise DataError(f"{root.where(name)}: no such folder or zip; it is data.{split}")
        place = root.within(name)
        inner = split_folder(place, split)
        places[split] = _place(place.within(inner) if inner else place)
    return places


def _found(root: Storage) -> dict[Split, Place]:
    """Look for the folders of the splits; without any, the class folders are there at once, and all is train."""
    found = {split: name for split in SPLITS if (name := split_folder(root, split))}
    if not found:
        return {"train": _place(root)}
    return {split: _place(root.within(name)) for split, name in found.items()}


def _place(root: Storage) -> Place:
    return Place(root, class_folders(root))


def _storage(root: Storage, places: Mapping[Split, Place]) -> Storage:
    """Return where names of images lie: with splits, they begin with the split."""
    only = next(iter(places.values()))
    if len(places) == 1 and only.root is root:
        return root
    return Joined({split: place.root for split, place in places.items()})


def _classes(
    folders: Sequence[str], titles: Mapping[str, str], problems: Problems
) -> tuple[dict[str, int], tuple[str, ...], list[str]]:
    """Return the index of each folder, the names of the classes, and what to say."""
    if not titles:
        said = []
        if all(len(f) == 9 and f[0] == "n" and f[1:].isdigit() for f in folders):
            said = ["class folders are WordNet ids; data.classes names a file with lines 'n01440764 tench' for names"]
        return {name: k for k, name in enumerate(folders)}, tuple(folders), said
    for folder in folders:
        if folder not in titles:
            problems.add(f"class folder {folder!r} is not in the file of names{did_you_mean(folder, titles)}")
    unique = {f for f, n in Counter(titles[f] for f in folders if f in titles).items() if n == 1}
    names = [titles.get(f, f) for f in folders]
    shown = tuple(n if n in unique else f"{n} ({f})" for n, f in zip(names, folders, strict=True))
    return {name: k for k, name in enumerate(folders)}, shown, []


def _fill(
    builder: Builder, place: Place, prefix: str, order: Mapping[str, int], problems: Problems, *, whole: bool
) -> None:
    for folder in place.classes:
        where = place.root.where(folder)
        if folder not in order:
            hint = did_you_mean(folder, order)
            problems.add(f"{where}: class {folder!r} is not in train ({listed(order)}){hint}")
            continue
        files = walk_images(place.root, folder)
        if not files and whole:
            problems.add(f"{where}: class folder without an image; put images into it, or take it away")
        for file in files:
            builder.add(prefix + file, (order[folder],))


def _val_list(root: Storage, given: str) -> str:
    """Return the list of a val without class folders; empty where there is none."""
    if given and not root.has(given):
        raise DataError(f"{root.where(given)}: no such list; it is data.val_list")
    return given or next((name for name in VAL_LISTS if root.has(name)), "")


def _beside(places: Mapping[Split, Place]) -> list[str]:
    """Count images that lie beside class folders: nobody said what they show."""
    notes = []
    for place in places.values():
        files = list(list_images(place.root).values()) if place.classes else []
        if files:
            what = f"{len(files)} image{'s' * (len(files) > 1)} beside the class folders"
            notes.append(f"{place.root.where()}: {what} left out, the first {files[0]}")
    return notes
