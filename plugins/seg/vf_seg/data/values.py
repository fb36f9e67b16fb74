"""Label maps: how their files are read, and which class a value or a colour of them means."""

from __future__ import annotations

import functools
import io
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import attrs
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vf.data.follow import IGNORE
from vf.errors import DataError

Colour = tuple[int, int, int]
UNKNOWN = 254
"""Of a table: a value that nobody named."""
MOST_CLASSES = 254

_PNG, _PALETTE = b"\x89PNG\r\n\x1a\n", 3
_LOSSY = (b"\xff\xd8\xff", b"RIFF")


class Rule(Protocol):
    """Makes the pixels of a file class indices."""

    def read(self, data: bytes, where: str) -> NDArray[Any]:
        """Decode a file to values [H,W] of at most 32 bits; DataError where it is no map."""
        ...

    def classes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return class indices of values, IGNORE for what is ignored and UNKNOWN for what nobody named."""
        ...

    def shown(self, value: int) -> str:
        """How messages call a value."""
        ...


@attrs.frozen(eq=False)
class ByValue:
    """The value of a pixel tells its class; a palette is only what it is looked at with.

    Args:
        values: value -> class index, 0 to 65535.
        ignore: values that nobody asks for.
        rest_ignored: whether all others are ignored, too.
    """

    values: Mapping[int, int]
    ignore: Sequence[int] = (IGNORE,)
    rest_ignored: bool = False

    @functools.cached_property
    def table(self) -> NDArray[np.uint8]:
        """[65536] class index of each value."""
        table = np.full(1 << 16, IGNORE if self.rest_ignored else UNKNOWN, np.uint8)
        table[list(self.ignore)] = IGNORE
        for value, index in self.values.items():
            table[value] = index
        return table

    def read(self, data: bytes, where: str) -> NDArray[Any]:
        """Decode a file to values [H,W]."""
        if data.startswith(_PNG) and data[25:26] == bytes([_PALETTE]):
            return _indices(data, where)
        pixels = _decoded(data, where, cv2.IMREAD_UNCHANGED)
        if pixels.ndim == 3:
            grey = pixels[..., 0]
            if not all((pixels[..., k] == grey).all() for k in range(1, min(3, pixels.shape[2]))):
                raise DataError(
                    f"{where}: expected one channel of values, got {pixels.shape[2]} channels of colours; name them "
                    "with data.mask_colours"
                )
            pixels = grey
        if pixels.dtype not in (np.uint8, np.uint16):
            raise DataError(f"{where}: expected whole numbers of 8 or 16 bits, got {pixels.dtype}")
        return np.ascontiguousarray(pixels)

    def classes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return class indices of values."""
        if values.dtype == np.uint8:
            return np.asarray(cv2.LUT(values, self.table[:256]), np.uint8)
        return np.asarray(self.table[values])

    def shown(self, value: int) -> str:
        """How messages call a value."""
        return str(value)


@attrs.frozen(eq=False)
class ByColour:
    """The colour of a pixel tells its class.

    Args:
        colours: red, green, blue -> class index.
        ignore: colours that nobody asks for.
    """

    colours: Mapping[Colour, int]
    ignore: Sequence[Colour] = ()

    def table(self) -> NDArray[np.uint8]:
        """[2^24] class index of each colour; made once in a process for all rules of the same colours."""
        return _colour_table(tuple(self.colours.items()), tuple(self.ignore))

    def read(self, data: bytes, where: str) -> NDArray[Any]:
        """Decode a file to colours [H,W], 65536·red + 256·green + blue."""
        pixels = _decoded(data, where, cv2.IMREAD_COLOR)
        four = cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA)
        codes: NDArray[Any] = four.view("<u4")[..., 0]
        codes &= 0xFFFFFF
        return codes

    def classes(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return class indices of colours."""
        return np.asarray(self.table()[values])

    def shown(self, value: int) -> str:
        """How messages call a colour."""
        return f'"{value >> 16},{value >> 8 & 255},{value & 255}"'


@functools.lru_cache(maxsize=4)
def _colour_table(colours: tuple[tuple[Colour, int], ...], ignore: tuple[Colour, ...]) -> NDArray[np.uint8]:
    table = np.full(1 << 24, UNKNOWN, np.uint8)
    for colour, index in (*((c, IGNORE) for c in ignore), *colours):
        table[packed(colour)] = index
    return table


def packed(colour: Sequence[int]) -> int:
    """Return a colour as one number."""
    red, green, blue = colour
    return red << 16 | green << 8 | blue


def _indices(data: bytes, where: str) -> NDArray[np.uint8]:
    """Return the indices of a PNG with a palette: OpenCV would give the colours."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.array(image, np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{where}: is damaged: {error}") from None


def _decoded(data: bytes, where: str, flags: int) -> NDArray[Any]:
    if not data:
        raise DataError(f"{where}: is empty (0 bytes); expected a map of labels")
    if data.startswith(_LOSSY):
        raise DataError(
            f"{where}: is a JPEG or WebP, whose values are not those that were drawn; maps must be PNG, TIFF or BMP"
        )
    if data.startswith(_PNG) and data.rfind(b"IEND") < 0:
        raise DataError(f"{where}: is cut off: the PNG ends after {len(data)} bytes without its end marker")
    level = cv2.utils.logging.setLogLevel(0)  # it would print what the caller says
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    finally:
        cv2.utils.logging.setLogLevel(level)
    if pixels is None:
        raise DataError(f"{where}: is no map that can be read; its first bytes are {data[:8]!r}")
    return np.asarray(pixels)


def unknown_values(raw: NDArray[Any], classes: NDArray[np.uint8]) -> list[int]:
    """Return the values that nobody named, rising."""
    if not (classes == UNKNOWN).any():
        return []
    found: list[int] = np.unique(raw[classes == UNKNOWN]).tolist()
    return found
