"""Find the pairs of a data set: folders of images and of maps, split by split."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs

from vf.data.annotations import Ragged
from vf.data.decode import IMAGE_SUFFIXES
from vf.data.joined import Joined
from vf.data.reading import Problems, hold_out
from vf.data.storage import Storage
from vf.errors import DataError
from vf_seg.data.pairs import Pairs
from vf_seg.data.values import Rule

MAP_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")
ALSO: Mapping[str, Sequence[str]] = {
    "train": ("train", "training", "Train"),
    "val": ("val", "valid", "validation", "Val"),
    "test": ("test", "testing", "Test"),
}
IMAGE_FOLDERS = ("images", "image", "img_dir", "imgs", "img", "JPEGImages", "images_png")
MAP_FOLDERS = ("masks", "mask", "annotations", "labels", "ann_dir", "SegmentationClass", "gt", "masks_png")


def walk(place: Storage, folder: str, suffixes: Iterable[str]) -> list[str]:
    """Return the names of the files of some kinds in a folder and in those below it, sorted."""
    found = []
    for name in place.files(folder):
        if posixpath.splitext(name)[1].lower() in suffixes and not name.startswith("."):
            found.append(posixpath.join(folder, name))
    for below in place.folders(folder):
        found += walk(place, posixpath.join(folder, below), suffixes)
    return sorted(found)


@attrs.frozen(kw_only=True)
class Naming:
    """How the names of an image and of its map are alike."""

    image_suffix: str = ""
    """End of the images' names that is theirs alone; empty: their ending."""
    map_suffix: str = ""
    """Likewise of the maps."""

    def image_key(self, name: str) -> str | None:
        """Return what an image shares with its map; None: it is none of these images."""
        return _key(name, self.image_suffix, IMAGE_SUFFIXES)

    def map_key(self, name: str) -> str | None:
        """Return what a map shares with its image."""
        return _key(name, self.map_suffix, MAP_SUFFIXES)


def _key(name: str, suffix: str, suffixes: Iterable[str]) -> str | None:
    if suffix:
        return name.removesuffix(suffix) if name.endswith(suffix) else None
    stem, ending = posixpath.splitext(name)
    return stem if ending.lower() in suffixes else None


def pair(
    split: str,
    images: Storage,
    maps: Storage | None,
    rule: Rule,
    *,
    naming: Naming,
    prefix: str = "",
    chosen: Sequence[str] | None = None,
    bare: bool = False,
) -> tuple[Pairs, list[str]]:
    """Pair the images of a folder with the maps of another.

    Args:
        split: for messages.
        images: the folder of the images.
        maps: the folder of the maps; None: nobody labelled these images.
        rule: of the maps.
        naming: how their names are alike.
        prefix: before the names of the images, for their ids.
        chosen: names without endings of the images that count; None: all.
        bare: whether a split of which no image has a map counts as unlabelled.

    Returns:
        the pairs, and what to say about them.

    Raises:
        DataError: an image has no map, or a chosen name no image.
    """
    problems = Problems()
    pictures = _by_key(walk(images, "", _endings(naming.image_suffix, IMAGE_SUFFIXES)), naming.image_key)
    truths = {} if maps is None else _by_key(walk(maps, "", _endings(naming.map_suffix, MAP_SUFFIXES)), naming.map_key)
    if chosen is None:
        keys = sorted(pictures)
    else:
        keys = list(chosen)
        for key in keys:
            if key not in pictures:
                problems.add(f"{images.where(key)}: no image of that name, which a list of {split} names")
        problems.raise_any()
    names = Ragged.of_texts([pictures[key] for key in keys])
    missing = [key for key in keys if key not in truths]
    if maps is None or (bare and keys and len(missing) == len(keys)):
        told = [f"{split}: has no maps: it can be predicted, not measured"]
        return Pairs(images, names, None, Ragged.of_texts([]), rule, prefix), told
    for key in missing:
        problems.add(f"{images.where(pictures[key])}: has no map in {maps.where()}", cause=split)
    problems.raise_any()
    notes = []
    lonely = sorted(set(truths) - set(pictures))
    if lonely and chosen is None:
        first = maps.where(truths[lonely[0]])
        notes.append(
            f"{split}: left out {len(lonely)} map{'s' * (len(lonely) > 1)} without an image, the first {first}"
        )
    return Pairs(images, names, maps, Ragged.of_texts([truths[key] for key in keys]), rule, prefix), notes


def _endings(suffix: str, usual: Iterable[str]) -> set[str]:
    return {posixpath.splitext(suffix)[1].lower()} if posixpath.splitext(suffix)[1] else set(usual)


def _by_key(names: Sequence[str], key_of: Callable[[str], str | None]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        key = key_of(name)
        if key is not None:
            found.setdefault(key, name)
    return found


def joined(split: str, parts: Mapping[str, Pairs], *, prefix: str) -> Pairs:
    """Join the pairs of several folders of one place, by the folders' names; all have maps, or none."""
    images = Joined({name: part.images for name, part in parts.items()})
    maps = Joined({name: part.maps for name, part in parts.items() if part.maps is not None})
    if 0 < len(maps.places) < len(parts):
        raise DataError(f"{split}: {', '.join(maps.places)} has maps, the others of {', '.join(parts)} have none")
    texts = [f"{name}/{part.names.text(i)}" for name, part in parts.items() for i in range(len(part))]
    drawn = [f"{name}/{part.map_names.text(i)}" for name, part in parts.items() for i in range(len(part.map_names))]
    rule = next(iter(parts.values())).rule
    return Pairs(images, Ragged.of_texts(texts), maps if maps.places else None, Ragged.of_texts(drawn), rule, prefix)


def folders_of(root: Storage, split: str) -> tuple[str, str] | None:
    """Look for the folders of a split's images and maps under their usual names; test may be without maps."""
    for name in ALSO[split]:
        for images in (f for f in IMAGE_FOLDERS if root.has_folder(f"{f}/{name}")):
            for maps in (f for f in MAP_FOLDERS if root.has_folder(f"{f}/{name}")):
                return f"{images}/{name}", f"{maps}/{name}"
        for maps in (f"{name}annot", f"{name}_labels", f"{name}_masks", f"{name}masks"):
            if root.has_folder(name) and root.has_folder(maps):
                return name, maps
        for images in (f for f in IMAGE_FOLDERS if root.has_folder(f"{name}/{f}")):
            for maps in (f for f in MAP_FOLDERS if root.has_folder(f"{name}/{f}")):
                return f"{name}/{images}", f"{name}/{maps}"
    alone = [f"{f}/{name}" for f in IMAGE_FOLDERS for name in ALSO[split]] if split == "test" else []
    return next(((images, "") for images in alone if root.has_folder(images)), None)


def has_pairs(root: Storage) -> bool:
    """Whether there are folders of images and of maps under their usual names, the latter with files of maps."""
    places = [found[1] for split in ALSO if (found := folders_of(root, split)) and found[1]]
    if not places and root.has_folder("images"):
        places = [folder for folder in ("masks", "mask") if root.has_folder(folder)]
    return any(name.lower().endswith(MAP_SUFFIXES) for folder in places for name in root.files(folder))


def read_list(root: Storage, name: str) -> list[str]:
    """Return the names of a list, one a line, without endings.

    Raises:
        DataError: there is no such list, or it names nothing, or something twice.
    """
    if not root.has(name):
        raise DataError(f"{root.where(name)}: no such list; lists are named relative to data.path")
    words = [line.split()[0] for line in root.read(name).decode("utf-8-sig").splitlines() if line.strip()]
    keys = [w.removesuffix(posixpath.splitext(w)[1]) if _is_image(w) else w for w in words]
    if not keys:
        raise DataError(f"{root.where(name)}: names no image")
    twice = next((key for key, count in Counter(keys).items() if count > 1), None)
    if twice is not None:
        raise DataError(f"{root.where(name)}: names {twice!r} twice")
    return keys


def _is_image(name: str) -> bool:
    return posixpath.splitext(name)[1].lower() in IMAGE_SUFFIXES


def with_val(splits: Mapping[str, Pairs], part: float) -> tuple[dict[str, Pairs], list[str]]:
    """Hold a part of train out, by a hash of the names, where there is no val split; return what to say about it."""
    train = splits.get("train")
    if train is None or "val" in splits or not part or len(train) < 2 or train.maps is None:
        return dict(splits), []
    names = [train.names.text(i) for i in range(len(train))]
    chosen = hold_out(names, part)
    cut = {
        "train": train.select([i for i, name in enumerate(names) if name not in chosen]),
        "val": train.select([i for i, name in enumerate(names) if name in chosen]),
    }
    note = f"there is no val split: {len(chosen)} of {len(names)} images are held out for it, chosen by hash"
    return {**cut, **{split: own for split, own in splits.items() if split != "train"}}, [note]
