"""Height and width of an image from its first bytes, upright as `vf.data.decode` gives it."""

from __future__ import annotations

import struct

HEAD = 65_536
"""Bytes that are enough for almost every file; a JPEG with a large preview needs more."""
_SIZED = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of JPEG whose segment tells the size (ITU-T T.81, table B.1)."""
_ORIENTATION = 0x0112


def image_size(head: bytes) -> tuple[int, int] | None:
    """Return height and width of a JPEG, PNG, GIF, BMP or WebP; None for other kinds, or where more bytes are needed.

    Args:
        head: the first bytes of the file, or all.
    """
    try:
        if head.startswith(b"\xff\xd8\xff"):
            return _jpeg(head)
        return _plain(head)
    except (struct.error, IndexError):
        return None


def _plain(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n") and b"eXIf" not in head:
        width, height = struct.unpack_from(">II", head, 16)
    elif head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack_from("<HH", head, 6)
    elif head.startswith(b"BM") and struct.unpack_from("<I", head, 14)[0] >= 40:
        width, height = struct.unpack_from("<ii", head, 18)
    elif head.startswith(b"RIFF") and head[8:12] == b"WEBP" and b"EXIF" not in head:
        return _webp(head)
    else:
        return None
    return abs(height), width


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    return None  # an extended file may be turned by what comes at its end


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at, turned = 2, False
    while head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        length = struct.unpack_from(">H", head, at + 2)[0]
        if marker in _SIZED:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return (width, height) if turned else (height, width)
        if marker == 0xE1 and head[at + 4 : at + 10] == b"Exif\0\0":
            turned = _orientation(head[at + 10 : at + 2 + length]) >= 5
        at += 2 + length
    return None


def _orientation(tiff: bytes) -> int:
    """Return the EXIF orientation, 1 where there is none; 5 to 8 swap height and width."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        start = struct.unpack_from(f"{order}I", tiff, 4)[0]
        for entry in range(struct.unpack_from(f"{order}H", tiff, start)[0]):
            tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:
        return 1
    return 1
