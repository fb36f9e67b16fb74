"""Config class of any pair of folders, with maps whose meaning the recipe says. Free of torch and numpy until read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

import vf
from vf.schema import changed
from vf_seg.layout_configs import ADE20K, Camvid, Cityscapes, CocoStuff, LoveDA, Maps, Voc12, opened

if TYPE_CHECKING:
    from vf.data.storage import Storage
    from vf.protocols import Results
    from vf_seg.data.pairs import Source

__all__ = ["Folders"]

_COLOUR = re.compile(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*")


def colour_of(text: str) -> tuple[int, int, int]:
    """Return red, green, blue of ``"128,64,128"``; ValueError where it is something else."""
    match = _COLOUR.fullmatch(text)
    if match is None or any(int(part) > 255 for part in match.groups()):
        raise ValueError(f'must be colours like "128,64,128" (red, green, blue from 0 to 255), got {text!r}')
    return int(match[1]), int(match[2]), int(match[3])


def _value_of(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"must be values from 0 to 65535, got {text!r}")
    return int(text)


def _colours(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    for text in value:
        colour_of(text)


def _values(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    for text in value:
        _value_of(text)


@vf.config
class Folders(Maps):
    """Any pair of folders: images, and maps whose values or colours are named in the recipe.

    ``mask_values: {0: background, 255: road}`` or ``mask_colours: {"128,64,128": road}``; two with one name are one
    class. Without them classes.txt names the values 0, 1, 2 … line by line. Folders are looked for as images/train
    beside masks/train, train/images beside train/masks, train beside trainannot, and images beside masks with the lists
    train.txt, val.txt, test.txt or none.
    """

    mask_values: dict[str, str] | None = vf.field(
        default=None, help="value of a pixel: name of its class", validator=_values
    )
    mask_colours: dict[str, str] | None = vf.field(
        default=None, help='"red,green,blue" of a pixel: name of its class', validator=_colours
    )
    ignore: tuple[int, ...] = vf.field(
        default=(255,),
        help="values that are ignored; 255 only where it is no class",
        validator=vf.each(vf.within(0, 65535)),
    )
    ignore_colours: tuple[str, ...] = vf.field(default=(), help='"red,green,blue" that are ignored', validator=_colours)
    reduce_zero_label: bool = vf.field(
        default=False, help="with classes.txt: the value 0 is ignored, the first class is 1"
    )
    images: str = vf.field(
        default="", help="folder of the images, {split} in it stands for the split; empty: looked for"
    )
    masks: str = vf.field(default="", help="folder of the maps, likewise")
    lists: str = vf.field(default="", help="list of the names of a split, as lists/{split}.txt; empty: all files")
    image_suffix: str = vf.field(default="", help="end of the images' names, as _img.jpg; empty: any image")
    mask_suffix: str = vf.field(default="", help="end of the maps' names, as _label.png; empty: as the image's")
    holdout: float = vf.field(
        default=0.1, help="part of train to validate on, where there is no val; 0: none", validator=vf.within(0, 0.9)
    )

    def __attrs_post_init__(self) -> None:
        if self.mask_values is not None and self.mask_colours is not None:
            raise ValueError("mask_values and mask_colours: only one of them can be given")
        if self.reduce_zero_label and (self.mask_values is not None or self.mask_colours is not None):
            raise ValueError("reduce_zero_label: belongs to classes.txt; with mask_values, say ignore: [0]")
        if self.mask_values is not None and self.ignore != (255,):
            both = [value for value in self.ignore if str(value) in self.mask_values]
            if both:
                raise ValueError(f"ignore: {both[0]} is also the class {self.mask_values[str(both[0])]!r}")

    def read(self, root: Storage) -> Source:
        """Find the pairs."""
        from vf_seg.data.find import Naming
        from vf_seg.data.layouts import Wanted, folders
        from vf_seg.data.meanings import meanings

        naming = Naming(image_suffix=self.image_suffix, map_suffix=self.mask_suffix)
        wanted = Wanted(images=self.images, masks=self.masks, lists=self.lists, naming=naming)
        rule, classes, ids, palette = meanings(
            root,
            wanted,
            values=self.mask_values,
            colours=None if self.mask_colours is None else {colour_of(c): n for c, n in self.mask_colours.items()},
            ignore=self.ignore,
            ignore_colours=tuple(colour_of(text) for text in self.ignore_colours),
            reduce_zero_label=self.reduce_zero_label,
        )
        return folders(root, rule, classes, wanted=wanted, palette=palette, ids=ids, holdout=self.holdout)

    def as_delivered(self) -> Folders:
        """The same data in the splits that it has."""
        return changed(self, holdout=0.0)

    def results(self) -> Results:
        """Build what writes the values or colours of the maps."""
        from vf_seg.results.maps import MapResults

        return MapResults(colours=self.mask_colours is not None)

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Folders of images and of maps under their usual names, of no other layout."""
        from vf_seg.data.find import has_pairs

        root = opened(path)
        if root is None or any(other.sniff(path) for other in (Camvid, Cityscapes, ADE20K, Voc12, CocoStuff, LoveDA)):
            return None
        return {"path": path} if has_pairs(root) else None
