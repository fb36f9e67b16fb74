"""The layouts of published data sets, and that of any pair of folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs

from vf.data.storage import Storage
from vf.errors import DataError
from vf_seg.data import names
from vf_seg.data.find import (
    ALSO,
    IMAGE_FOLDERS,
    MAP_FOLDERS,
    Naming,
    folders_of,
    joined,
    pair,
    read_list,
    walk,
    with_val,
)
from vf_seg.data.pairs import Pairs, Source
from vf_seg.data.values import ByColour, ByValue, Rule, packed

SPLITS = ("train", "val", "test")
EVERY = Naming()


class Found:
    """Collects splits and what there is to say about them."""

    def __init__(self) -> None:
        self.splits: dict[str, Pairs] = {}
        self.notes: list[str] = []

    def add(self, split: str, found: tuple[Pairs, list[str]]) -> None:
        """Take what :func:`pair` gave; a folder without images is no split."""
        pairs, notes = found
        if len(pairs):
            self.splits[split] = pairs
            self.notes += notes

    def source(
        self,
        root: Storage,
        expected: str,
        classes: Sequence[str],
        *,
        palette: names.Palette | None = None,
        ids: Sequence[int] = (),
        holdout: float = 0.0,
    ) -> Source:
        """Return all of it; DataError where no split was found."""
        if not self.splits:
            raise DataError(f"{root.where()}: holds no pairs of images and maps; expected {expected}")
        splits, more = with_val(self.splits, holdout)
        return Source(tuple(classes), splits, palette, (*self.notes, *more), tuple(ids))


def values_of(ids: Sequence[int], *, ignore: Sequence[int], rest_ignored: bool = False) -> ByValue:
    """Return the rule of maps whose values are ids, one for each class in order."""
    return ByValue({value: index for index, value in enumerate(ids)}, tuple(ignore), rest_ignored)


def camvid(root: Storage, *, void: bool, holdout: float) -> Source:
    """CamVid as SegNet has it: train/ trainannot/ and so on, values 0 to 10, 11 is void."""
    classes = (*names.CAMVID, "void") if void else names.CAMVID
    ids = tuple(range(len(classes)))
    rule = values_of(ids, ignore=(255,) if void else (11, 255))
    found = Found()
    for split in SPLITS:
        if root.has_folder(split):
            maps = root.within(f"{split}annot") if root.has_folder(f"{split}annot") else None
            prefix = f"{split}/"
            found.add(split, pair(split, root.within(split), maps, rule, naming=EVERY, prefix=prefix, bare=True))
    found.notes.append(
        "void (value 11) is a class of its own, trained on and measured"
        if void
        else "void (value 11) is ignored: neither trained on nor measured"
    )
    palette = (*names.CAMVID_COLOURS, (0, 0, 0)) if void else names.CAMVID_COLOURS
    return found.source(root, "train/*.png beside trainannot/*.png", classes, palette=palette, ids=ids, holdout=holdout)


def cityscapes(root: Storage, *, images: str, labels: str) -> Source:
    """Cityscapes as it is delivered: *_gtFine_labelIds.png, or *_gtFine_labelTrainIds.png where only these are."""
    for name, key in ((images, "images"), (labels, "labels")):
        if not root.has_folder(name):
            raise DataError(f"{root.where(name)}: no such folder or zip; data.{key} names it")
    pictures, truths = (_inner(root.within(name), name) for name in (images, labels))
    label_ids = values_of(names.CITYSCAPES_IDS, ignore=names.CITYSCAPES_VOID)
    train_ids = values_of(range(19), ignore=(255,))
    found = Found()
    for split in SPLITS:
        if not pictures.has_folder(split):
            continue
        maps = truths.within(split)
        ending, rule = "_gtFine_labelIds.png", label_ids
        if not any(name.endswith(ending) for name in walk(maps, "", (".png",))):
            ending, rule = "_gtFine_labelTrainIds.png", train_ids
        naming = Naming(image_suffix="_leftImg8bit.png", map_suffix=ending)
        # The published maps of test are there and hold nothing but void.
        maps_or_none = None if split == "test" and _blank(maps, ending, rule) else maps
        found.add(split, pair(split, pictures.within(split), maps_or_none, rule, naming=naming, bare=split == "test"))
    return found.source(
        pictures,
        "train/CITY/*_leftImg8bit.png",
        names.CITYSCAPES,
        palette=names.CITYSCAPES_COLOURS,
        ids=names.CITYSCAPES_IDS,
    )


def _blank(maps: Storage, ending: str, rule: Rule) -> bool:
    """Whether the first map of a folder holds no class."""
    first = next((name for name in walk(maps, "", (".png",)) if name.endswith(ending)), None)
    if first is None:
        return True
    return bool((rule.classes(rule.read(maps.read(first), maps.where(first))) >= 254).all())


def _inner(place: Storage, name: str) -> Storage:
    """A zip of all of it has more than one folder at its top, licences beside the pictures."""
    base = name.rpartition("/")[2].removesuffix(".zip").partition("_")[0]
    return place.within(base) if place.has_folder(base) else place


def ade20k(root: Storage) -> Source:
    """ADE20K's scene parsing benchmark: images/training and annotations/training, 0 is other and ignored."""
    rule = values_of(range(1, 151), ignore=(0, 255))
    found = Found()
    for split, folder in (("train", "training"), ("val", "validation"), ("test", "testing")):
        if root.has_folder(f"images/{folder}"):
            drawn = f"annotations/{folder}"
            maps = root.within(drawn) if root.has_folder(drawn) else None
            place = root.within(f"images/{folder}")
            found.add(split, pair(split, place, maps, rule, naming=EVERY, prefix=f"{folder}/"))
    found.notes.append("value 0 (other) is ignored; values 1 to 150 are the classes (reduce zero label)")
    expected = "images/training/*.jpg beside annotations/training/*.png"
    return found.source(root, expected, names.ADE20K, palette=names.ADE20K_COLOURS, ids=range(1, 151))


def voc(root: Storage, *, lists: Mapping[str, str], augmented: bool) -> Source:
    """VOC2012: JPEGImages, SegmentationClass (with ``augmented`` SegmentationClassAug), ImageSets/Segmentation."""
    images = root.within("JPEGImages")
    folder = "SegmentationClassAug" if augmented else "SegmentationClass"
    for name in ("JPEGImages", folder):
        if not root.has_folder(name):
            hint = "; it is made of SBD's contours (docs/datasets.md)" if augmented and name == folder else ""
            raise DataError(f"{root.where(name)}: no such folder{hint}")
    rule = values_of(range(21), ignore=(255,))
    found = Found()
    for split in SPLITS:
        given = lists.get(split) or _voc_list(root, split, augmented=augmented)
        if not given:
            continue
        chosen = [key.rpartition("/")[2] for key in read_list(root, given)]
        own = pair(split, images, root.within(folder), rule, naming=EVERY, chosen=chosen, bare=split == "test")
        found.add(split, own)
    expected = "ImageSets/Segmentation/train.txt"
    return found.source(root, expected, names.VOC, palette=names.VOC_COLOURS, ids=range(21))


def _voc_list(root: Storage, split: str, *, augmented: bool) -> str:
    wanted = [f"ImageSets/Segmentation/{split}.txt"]
    if augmented and split == "train":
        wanted = [
            f"ImageSets/{folder}/{name}.txt"
            for folder in ("Segmentation", "SegmentationAug")
            for name in ("trainaug", "train_aug")
        ]
        if not any(root.has(name) for name in wanted):
            raise DataError(
                f"{root.where(wanted[0])}: no such list of the images to train on; data.train names one relative to "
                "data.path"
            )
    return next((name for name in wanted if root.has(name)), "")


def coco_stuff(root: Storage) -> Source:
    """COCO-Stuff 164k: train2017/*.jpg, and stuffthingmaps/train2017/*.png or *_labelTrainIds.png."""
    found = Found()
    for split in ("train", "val"):
        images = _first(root, f"{split}2017", f"images/{split}2017")
        maps = _first(root, f"stuffthingmaps/{split}2017", f"annotations/{split}2017")
        if images is None or maps is None:
            continue
        trained = any(name.endswith("_labelTrainIds.png") for name in maps.files()[:4])
        ids = range(171) if trained else [id_ - 1 for id_ in names.COCO_STUFF_IDS]
        naming = Naming(map_suffix="_labelTrainIds.png" if trained else "")
        rule = values_of(ids, ignore=(255,))
        prefix = f"{split}2017/"
        found.add(split, pair(split, images, maps, rule, naming=naming, prefix=prefix))
    return found.source(
        root,
        "train2017/*.jpg beside stuffthingmaps/train2017/*.png",
        names.COCO_STUFF,
        palette=names.COCO_STUFF_COLOURS,
        ids=names.COCO_STUFF_IDS,
    )


def _first(root: Storage, *folders: str) -> Storage | None:
    return next((root.within(folder) for folder in folders if root.has_folder(folder)), None)


def loveda(root: Storage, *, scenes: Sequence[str]) -> Source:
    """LoveDA as it is delivered: Train/Urban/images_png and masks_png, values 1 to 7; 0 is no data and ignored."""
    rule = values_of(range(1, 8), ignore=(0, 255))
    found = Found()
    for split in SPLITS:
        base = next((b for b in ALSO[split] if root.has_folder(b)), "")
        whole = root.within(base) if base else root
        parts: dict[str, Pairs] = {}
        for scene in (s for s in scenes if base and whole.has_folder(f"{s}/images_png")):
            place = whole.within(scene)
            maps = place.within("masks_png") if place.has_folder("masks_png") else None
            parts[scene], said = pair(split, place.within("images_png"), maps, rule, naming=EVERY)
            found.notes += [note for note in said if note not in found.notes]
        if parts:
            found.add(split, (joined(split, parts, prefix=f"{base}/"), []))
    found.notes.append("value 0 (no data) is ignored")
    expected = "Train/Urban/images_png/*.png beside Train/Urban/masks_png/*.png"
    return found.source(root, expected, names.LOVEDA, palette=names.LOVEDA_COLOURS, ids=range(1, 8))


def potsdam(root: Storage, *, colours: bool) -> Source:
    """Tiles of ISPRS Potsdam: img_dir/train and ann_dir/train, maps in the contest's colours or values 1 to 6."""
    rule: Rule = values_of(range(1, 7), ignore=(0, 255))
    ids: Sequence[int] = range(1, 7)
    if colours:
        rule = ByColour({colour: index for index, colour in enumerate(names.POTSDAM_COLOURS)}, ((0, 0, 0),))
        ids = [packed(colour) for colour in names.POTSDAM_COLOURS]
    found = _in_folders(root, rule, EVERY)
    found.notes.append("black (no label) is ignored" if colours else "value 0 (no label) is ignored")
    expected = "img_dir/train/*.png beside ann_dir/train/*.png"
    return found.source(root, expected, names.POTSDAM, palette=names.POTSDAM_COLOURS, ids=ids)


def _in_folders(root: Storage, rule: Rule, naming: Naming) -> Found:
    found = Found()
    for split in SPLITS:
        places = folders_of(root, split)
        if places is not None:
            images, maps = root.within(places[0]), root.within(places[1]) if places[1] else None
            own = pair(split, images, maps, rule, naming=naming, prefix=f"{places[0]}/", bare=split == "test")
            found.add(split, own)
    return found


@attrs.frozen(kw_only=True)
class Wanted:
    """Where the pairs of any folder lie, as its keys say."""

    images: str = ""
    """Folder of the images; {split} stands for the split."""
    masks: str = ""
    lists: str = ""
    """List of the names of a split."""
    naming: Naming = EVERY


def folders(
    root: Storage,
    rule: Rule,
    classes: Sequence[str],
    *,
    wanted: Wanted,
    palette: names.Palette | None,
    ids: Sequence[int],
    holdout: float,
) -> Source:
    """Any pairs of folders: by their usual names, or where the keys say."""
    if bool(wanted.images) != bool(wanted.masks):
        raise DataError("data.images and data.masks: both are needed, or neither")
    found = _named(root, rule, wanted) if wanted.images else _in_folders(root, rule, wanted.naming)
    if not found.splits and not wanted.images:
        _flat(root, rule, wanted, found)
    expected = (
        f"{wanted.images} beside {wanted.masks}"
        if wanted.images
        else "images/train beside masks/train, train beside trainannot, or data.images and data.masks"
    )
    return found.source(root, expected, classes, palette=palette, ids=ids, holdout=holdout)


def _flat(root: Storage, rule: Rule, wanted: Wanted, found: Found) -> None:
    """One folder of images and one of maps, with or without lists of the splits."""
    images = next((f for f in IMAGE_FOLDERS if root.has_folder(f)), None)
    masks = next((f for f in MAP_FOLDERS if root.has_folder(f)), None)
    if images is not None and masks is not None:
        given = wanted.lists or ("{split}.txt" if root.has("train.txt") else "")
        own = attrs.evolve(wanted, images=images, masks=masks, lists=given)
        found.splits |= _named(root, rule, own).splits


def _named(root: Storage, rule: Rule, wanted: Wanted) -> Found:
    found = Found()
    many = "{split}" in wanted.images or wanted.lists
    for split in SPLITS if many else ("train",):
        images, masks, lists = (text.replace("{split}", split) for text in (wanted.images, wanted.masks, wanted.lists))
        if not root.has_folder(images) or (lists and not root.has(lists)):
            continue
        maps = root.within(masks) if root.has_folder(masks) else None
        chosen = read_list(root, lists) if lists else None
        own = pair(
            split,
            root.within(images),
            maps,
            rule,
            naming=wanted.naming,
            prefix=f"{images}/",
            chosen=chosen,
            bare=split == "test",
        )
        found.add(split, own)
    return found
