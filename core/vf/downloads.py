"""What a plugin says of the files of a published data set. Free of torch."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class RemoteFile:
    """One file of a published data set."""

    url: str
    part: str
    """What of the data set it is for, as ``train``; a user fetches some parts or all of them."""
    size: int | None = None
    """Bytes, where somebody published it."""
    digest: str = ""
    """``sha256:…`` or ``md5:…`` in hexadecimal digits; empty: none is published, and the size alone is checked."""
    into: str = ""
    """Folder, seen from the data set, that it is unpacked into."""
    strip: str = ""
    """Folder in the archive that the names begin with and that is left out."""
    stays: bool = False
    """Whether vf reads it without unpacking, as a zip of images."""
    archive: bool = True
    """Whether there is anything to unpack; if not, it stays as it came."""
    default: bool = True
    """Whether it is fetched where nobody says which parts."""

    def __attrs_post_init__(self) -> None:
        kind, colon, digits = self.digest.partition(":")
        length = {"sha256": 64, "md5": 32}.get(kind)
        if self.digest and (not colon or len(digits) != length):
            raise ValueError(f"{self.url}: expected a digest like sha256:… or md5:…, got {self.digest!r}")

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]
