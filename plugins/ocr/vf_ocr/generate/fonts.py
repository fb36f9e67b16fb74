"""The fonts that generated text is drawn with: Pillow's own always, others where they are asked for."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vf.errors import DataError

SYSTEM = "system"
SUFFIXES = (".ttf", ".otf", ".ttc")
_NOTHING = "\U0010ffff"
"""A code point that no font draws: what comes for it stands for all that is missing."""
_PLAIN = "aeHn3"
"""A font that lacks one of these, or draws two of them alike, is one of symbols."""


@attrs.frozen(eq=False)
class Glyph:
    """One drawn character."""

    alpha: NDArray[np.uint8]
    """[H,W] coverage; may be empty."""
    left: int
    """From the pen to the first column, px."""
    top: int
    """From the baseline to the first row, px; negative above it."""
    advance: float
    """How far the pen moves, px."""


@attrs.frozen
class Face:
    """A font by its file; nothing: Pillow's own outline font."""

    file: str = ""

    @property
    def name(self) -> str:
        """For people."""
        return Path(self.file).stem if self.file else "Pillow's own"

    def draws(self, character: str) -> bool:
        """Whether the font has a character."""
        return _draws(self.file, character)


def faces(fonts: str) -> tuple[Face, ...]:
    """Return the fonts of a setting, Pillow's own first.

    Args:
        fonts: empty: Pillow's own alone; ``system``: those of this machine too; else a font, or a folder with fonts in
            it and below it.

    Raises:
        DataError: there is no such file or folder, or no font in it that has latin letters.
    """
    if not fonts:
        return (Face(),)
    if fonts == SYSTEM:
        places: Sequence[Path] = [p for p in _system_folders() if p.is_dir()]
    else:
        places = [Path(fonts)]
        if not places[0].exists():
            raise DataError(f"data.fonts: {fonts!r} is no font, no folder, and not {SYSTEM!r}")
    found = [Face(str(file)) for place in places for file in _files(place)]
    good = [face for face in found if _has_letters(face)]
    if not good and fonts != SYSTEM:
        raise DataError(f"data.fonts: {fonts}: no font with latin letters ({', '.join(SUFFIXES)}) among {len(found)}")
    return (Face(), *good)


def _files(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    walked = (Path(folder) / name for folder, _, names in os.walk(place) for name in names)
    return sorted(path for path in walked if path.suffix.lower() in SUFFIXES)


def _system_folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    if sys.platform == "win32":
        return [Path(os.environ.get("WINDIR", r"C:\Windows")) / "Fonts"]
    return [Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), home / ".local/share/fonts", home / ".fonts"]


@functools.lru_cache(maxsize=512)
def _font(file: str, size: int) -> ImageFont.FreeTypeFont:
    if not file:
        own = ImageFont.load_default(size)
        if not isinstance(own, ImageFont.FreeTypeFont):
            raise DataError("Pillow was built without FreeType, so it has no outline font to generate text with")
        return own
    try:
        return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise DataError(f"{file}: is no font that can be read: {error}") from None


@functools.lru_cache(maxsize=65_536)
def _draws(file: str, character: str) -> bool:
    if character.isspace():
        return True
    drawn = glyph(file, 24, character)
    missing = glyph(file, 24, _NOTHING)
    if not drawn.alpha.any():
        return False
    return drawn.alpha.shape != missing.alpha.shape or not np.array_equal(drawn.alpha, missing.alpha)


def _has_letters(face: Face) -> bool:
    try:
        if not all(face.draws(character) for character in _PLAIN):
            return False
    except DataError:
        return False
    return len({glyph(face.file, 24, c).alpha.tobytes() for c in _PLAIN}) == len(_PLAIN)


@functools.lru_cache(maxsize=16_384)
def glyph(file: str, size: int, character: str) -> Glyph:
    """Draw a character once for each font and size; kept, 1 kB each or so."""
    font = _font(file, size)
    left, top, right, bottom = (round(v) for v in font.getbbox(character, anchor="ls"))
    width, height = max(0, right - left), max(0, bottom - top)
    alpha = np.zeros((height, width), np.uint8)
    if width and height:
        image = Image.new("L", (width, height))
        ImageDraw.Draw(image).text((-left, -top), character, fill=255, font=font, anchor="ls")
        alpha = np.array(image)
    return Glyph(alpha, left, top, float(font.getlength(character)))
