"""One file of an http(s) address: fetched into a temporary folder, within limits of size and time."""

from __future__ import annotations

import http.client
import socket
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path, PurePosixPath

from vf.errors import DataError
from vf.fetch import shown

LARGEST = 512 * 10**6
"""Bytes of a file that is fetched to be predicted."""
LONGEST = 300.0
"""Seconds that it may take in all."""
SILENT = 15.0
"""Seconds without a byte after which a server counts as gone."""
CHUNK = 1 << 16
SUFFIX_OF = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "video/mp4": ".mp4"}
"""By the type that a server tells, where the address has none."""


class Fetched:
    """The file of an address, until :meth:`close`.

    Args:
        url: http or https.

    Raises:
        DataError: it cannot be had, is too large, or takes too long.
    """

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        """For people: without a password and the tokens of a query."""
        self._folder = tempfile.TemporaryDirectory(prefix="vf-")
        try:
            self.path = self._fetch(url)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the file."""
        self._folder.cleanup()

    def _fetch(self, url: str) -> Path:
        try:
            with _opener().open(urllib.request.Request(url, headers={"User-Agent": "vf"}), timeout=SILENT) as answer:
                return self._save(answer)
        except urllib.error.HTTPError as error:
            error.close()
            raise DataError(f"{self.name}: the server answers {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            raise DataError(f"{self.name}: cannot be reached: {_reason(error.reason)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise DataError(f"{self.name}: cannot be fetched: {_reason(error)}") from None

    def _save(self, answer: http.client.HTTPResponse) -> Path:
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and int(length) > LARGEST:
            raise DataError(f"{self.name}: has {int(length) / 1e6:.0f} MB; at most {LARGEST / 1e6:.0f} MB are fetched")
        name = PurePosixPath(urllib.parse.unquote(urllib.parse.urlsplit(answer.url).path)).name
        suffix = PurePosixPath(name).suffix.lower() or SUFFIX_OF.get(answer.headers.get_content_type(), "")
        path = Path(self._folder.name) / f"fetched{suffix}"
        until, size = time.monotonic() + LONGEST, 0
        with path.open("wb") as file:
            while chunk := answer.read1(CHUNK):
                size += file.write(chunk)
                if size > LARGEST:
                    raise DataError(f"{self.name}: has more than {LARGEST / 1e6:.0f} MB, which is the most")
                if time.monotonic() > until:
                    raise DataError(f"{self.name}: was not there after {LONGEST:.0f} s, of which {size / 1e6:.1f} MB")
        if length.isdecimal() and size < int(length):
            raise DataError(f"{self.name}: was cut off after {size} of {length} bytes")
        return path


def _opener() -> urllib.request.OpenerDirector:
    """Return what opens http and https, and nothing else."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPRedirectHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _reason(error: object) -> str:
    if isinstance(error, socket.timeout | TimeoutError):
        return f"it is silent for {SILENT:.0f} s"
    return str(getattr(error, "strerror", None) or error)
