"""Downloads: resumed where the server can, checked where a checksum is known. Weights are kept in a cache:

$VF_CACHE/downloads/                   else $XDG_CACHE_HOME/vf, else ~/.cache/vf
    1f0c2a9d-resnet20-12fca82f.pth       whole; a hash of the address stands in front of the name
    1f0c2a9d-resnet20-12fca82f.pth.part  begun; .part.json beside it tells which content it is the beginning of
    1f0c2a9d-resnet20-12fca82f.pth.lock  held by the process that downloads

Files of data sets lie where the user wants them (:func:`download`), checked by what their authors published.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import http.client
import json
import os
import re
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from vf.console import megabytes
from vf.errors import CheckpointError, DataError, VFError

FOLDER = "downloads"
TRIES = 4
PAUSE = 1.0
"""Seconds before the second try; each later pause is twice the one before."""
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as cut."""
CHUNK = 1 << 18
WORTH_A_TRY = {408, 429, 500, 502, 503, 504}
AHEAD = 1 << 20
"""Bytes after which a try counts as a new first one: a large file may be cut often."""

Tell = Callable[[str], None]


class StoppedError(Exception):
    """The user stopped a download; what came is kept."""


class _CutError(Exception):
    """This try failed, and the next one may not."""


@attrs.frozen
class _Content:
    """What a partial file is the beginning of."""

    validator: str
    """ETag or date that a server compares before it continues; empty: it gave none."""
    total: int | None
    """Bytes of the whole; None: it was not told."""


def is_address(text: str) -> bool:
    """Tell an http(s) address from a path."""
    return text.lower().startswith(("http://", "https://"))


def shown(url: str) -> str:
    """Return an address for people, without a password or the tokens of its query."""
    parts = urllib.parse.urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def cache_folder() -> Path:
    """Return where vf keeps what can be had again."""
    if os.environ.get("VF_CACHE"):
        return Path(os.environ["VF_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vf"


def fetch(url: str, *, cache: Path | None = None, tell: Tell = lambda line: None) -> Path:
    """Return the file of an http(s) address, from the cache where it is there already.

    Args:
        cache: a folder in place of ``cache_folder()``.
        tell: takes the lines about the progress.

    Raises:
        CheckpointError: it cannot be had, or its content is not what its name says.
    """
    try:
        usable = is_address(url) and urllib.parse.urlsplit(url).hostname
    except ValueError:
        usable = None
    if not usable:
        raise CheckpointError(f"{url}: not a usable address; expected one like https://host/path/name.pth")
    folder = (cache if cache is not None else cache_folder()) / FOLDER
    final = folder / _file_name(url)
    if final.is_file():
        return final
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with alone(final, tell):
            if not final.is_file():
                name = _Check("sha256", digest_in(final.name.partition("-")[2]), "its name says")
                _Download(url, final, tell, check=name).run()
    except OSError as error:
        raise CheckpointError(
            f"{final}: cannot write the download: {error.strerror or error}; set VF_CACHE to another folder"
        ) from None
    return final


def download(
    url: str,
    final: Path,
    *,
    digest: str = "",
    size: int | None = None,
    tell: Tell = lambda line: None,
    progress: Callable[[int], None] = lambda done: None,
    stop: threading.Event | None = None,
) -> None:
    """Fetch a file to a place, going on where an earlier call ended; what has been begun lies beside, as .part.

    Args:
        url: http(s) address.
        final: where the file is put when it is whole and right; its folder exists.
        digest: ``sha256:…`` or ``md5:…`` that it must have; empty: none is known.
        size: bytes that it must have.
        tell: takes the lines about the progress.
        progress: takes the number of bytes that are there.
        stop: ends the download soon after it is set.

    Raises:
        DataError: it cannot be had, or is not what was published.
        StoppedError: ``stop`` was set.
    """
    kind, _, digits = digest.rpartition(":")
    job = _Download(url, final, tell, check=_Check(kind or "sha256", digits.lower(), "published"), error=DataError)
    job.size, job.progress, job.stop = size, progress, stop
    try:
        job.run()
    except OSError as error:
        raise DataError(
            f"{final}: cannot write the download: {error.strerror or error}; the same command goes on from there"
        ) from None


def _file_name(url: str) -> str:
    last = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]
    name = re.sub(r"[^\w.+-]", "_", last, flags=re.ASCII)[-150:] or "download"
    return f"{hashlib.sha256(url.encode()).hexdigest()[:8]}-{name}"


def digest_in(name: str) -> str:
    """Return the first digits of the sha256 that a file name carries; empty where it carries none.

    64 digits anywhere, or at least 8 in front of the suffix as torch.hub names files: ``resnet20-12fca82f.pth``.
    """
    name = name.lower()
    match = re.search(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", name) or re.search(
        r"(?<=-)[0-9a-f]{8,63}(?=\.\w+$)", name
    )
    is_date = match is not None and re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", match[0])
    return match[0] if match is not None and not is_date else ""


@contextlib.contextmanager
def alone(final: Path, tell: Tell) -> Iterator[None]:
    """Hold the lock of a download; the file stays, because removing it would let two in."""
    with final.with_name(f"{final.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"waiting for another process that downloads {final.name}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@attrs.frozen
class _Check:
    """What the content of a file must be."""

    kind: str
    """Of the digest: sha256 or md5."""
    digits: str
    """All or the first of them; empty: it may be anything."""
    source: str
    """Who says so, for messages: as its name says, as published."""


class _Download:
    """One address on its way to one file."""

    size: int | None = None
    stop: threading.Event | None = None

    def __init__(
        self, url: str, final: Path, tell: Tell, *, check: _Check, error: type[VFError] = CheckpointError
    ) -> None:
        self.url = url
        self.final = final
        self.part = final.with_name(f"{final.name}.part")
        self.facts = final.with_name(f"{final.name}.part.json")
        self.check = check
        self.error = error
        self.tell = tell
        self.progress: Callable[[int], None] = lambda done: None

    def run(self) -> None:
        """Try, go on where the last try ended, check, and put the file in its place."""
        tries, before = 0, self._length()
        while True:
            tries += 1
            try:
                self._try()
                break
            except _CutError as cut:
                tries, before = (1 if self._length() >= before + AHEAD else tries), self._length()
                if tries >= TRIES:
                    hint = "the same command goes on from there" if self._begun() is not None else "try again later"
                    raise self.error(f"{shown(self.url)}: {cut}, after {TRIES} tries; {hint}") from None
                self._wait(PAUSE * 2 ** (tries - 1))
        self._verify()
        os.replace(self.part, self.final)
        self.facts.unlink(missing_ok=True)
        self.tell(f"fetched {shown(self.url)} to {self.final}")

    def _length(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _wait(self, seconds: float) -> None:
        if self.stop is None:
            time.sleep(seconds)
        elif self.stop.wait(seconds):
            raise StoppedError(self.final.name)

    def _try(self) -> None:
        before = self._begun()
        start = self.part.stat().st_size if before is not None else 0
        if before is not None and start == before.total:
            return
        with self._open(start, before) as response:
            if response.status == http.HTTPStatus.PARTIAL_CONTENT and not _continues(response, start, before):
                self._forget()
                raise _CutError("the server continued with other content")
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                # The old bytes go before the new facts come, so that no crash leaves the two together.
                self._forget()
                start, before = 0, _content(response)
                self._refuse_other(before.total)
                self.facts.write_text(json.dumps(attrs.asdict(before)), encoding="utf-8")
            assert before is not None
            self._write(response, start, before.total)

    def _refuse_other(self, total: int | None) -> None:
        """Raise where the server has another file than was published, before it is fetched."""
        if self.size is not None and total is not None and total != self.size:
            raise self.error(
                f"{shown(self.url)}: expected {self.size} bytes, the server has {total}; check the address, or fetch "
                "the file yourself"
            )

    def _begun(self) -> _Content | None:
        """Return what the partial file belongs to; None: begin anew, because nobody could tell if it changed."""
        try:
            content = _Content(**json.loads(self.facts.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        size = self._length()
        known = content.validator or (self.check.digits and content.total)
        return content if size and known and (content.total is None or size <= content.total) else None

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.facts.unlink(missing_ok=True)

    def _open(self, start: int, before: _Content | None) -> Any:
        headers = {"User-Agent": "vf", "Accept-Encoding": "identity"}
        if before is not None:
            headers["Range"] = f"bytes={start}-"
            if before.validator:
                headers["If-Range"] = before.validator
        try:
            return _opener().open(urllib.request.Request(self.url, headers=headers), timeout=TIMEOUT)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
                self._forget()
                raise _CutError("the server no longer has the rest") from None
            if error.code in WORTH_A_TRY:
                raise _CutError(f"HTTP {error.code} {error.reason}") from None
            raise self.error(
                f"{shown(self.url)}: HTTP {error.code} {error.reason}; check the address, or fetch the file yourself"
            ) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._unreachable(error) from None

    def _unreachable(self, error: Exception) -> Exception:
        """Return what to raise where no answer came: a cut may heal, a wrong host does not."""
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        where, host = shown(self.url), urllib.parse.urlsplit(self.url).hostname
        if isinstance(cause, socket.gaierror):
            return self.error(f"{where}: no such host {host!r}, or no network; check the address")
        if isinstance(cause, ConnectionRefusedError):
            return self.error(f"{where}: {host} refuses the connection; check the address and its port")
        if isinstance(cause, TimeoutError):
            return _CutError(f"no answer within {TIMEOUT:g} s")
        if isinstance(cause, ConnectionError | http.client.RemoteDisconnected | http.client.IncompleteRead):
            return _CutError("connection cut before an answer")
        return self.error(f"{where}: cannot be fetched: {cause}; check the address")

    def _write(self, response: Any, start: int, total: int | None) -> None:
        """Append what comes; the disk's errors pass through, those of the network are a cut."""
        done = start
        self.tell(f"fetching {shown(self.url)}" + (f", {megabytes(total)}" if total is not None else ""))
        with self.part.open("ab" if start else "wb") as file:
            while chunk := self._read(response, done, total):
                file.write(chunk)
                before, done = done, done + len(chunk)
                self.progress(done)
                if self.stop is not None and self.stop.is_set():
                    raise StoppedError(self.final.name)
                if total and done < total and 10 * done // total > 10 * before // total:
                    self.tell(f"  {100 * done // total} % of {megabytes(total)}")
            file.flush()
            os.fsync(file.fileno())
        if total is not None and done > total:
            self._forget()
        if total is not None and done != total:
            raise _CutError(f"connection cut after {done} of {total} bytes")

    def _read(self, response: Any, done: int, total: int | None) -> bytes:
        try:
            chunk: bytes = response.read(CHUNK)
        except TimeoutError:
            raise _CutError(f"no byte within {TIMEOUT:g} s") from None
        except (OSError, http.client.HTTPException):
            raise _CutError(f"connection cut after {done} of {total or 'unknown'} bytes") from None
        return chunk

    def _verify(self) -> None:
        with self.part.open("rb") as file:
            found = hashlib.file_digest(file, self.check.kind).hexdigest()
        digits = self.check.digits
        if not found.startswith(digits):
            self._forget()
            raise self.error(
                f"{shown(self.url)}: expected {self.check.kind} {digits} as {self.check.source}, got "
                f"{found[: len(digits)]}; the download is deleted; try again, or fetch the file yourself"
            )


def _opener() -> urllib.request.OpenerDirector:
    """Make an opener without file: and ftp:, so that no redirection leads there."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler,
        urllib.request.HTTPHandler,
        urllib.request.HTTPSHandler,
        urllib.request.HTTPRedirectHandler,
        urllib.request.HTTPDefaultErrorHandler,
        urllib.request.HTTPErrorProcessor,
        urllib.request.UnknownHandler,
    ):
        opener.add_handler(handler())
    return opener


def _content(response: Any) -> _Content:
    tag = response.headers.get("ETag", "")
    # A weak tag promises the same meaning, not the same bytes.
    validator = tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
    length = response.headers.get("Content-Length", "")
    return _Content(validator, int(length) if length.isdigit() else None)


def _continues(response: Any, start: int, before: _Content | None) -> bool:
    """Whether a partial answer is the rest of what ``before`` is the beginning of."""
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if match is None or before is None or int(match[1]) != start:
        return False
    if before.total is not None and match[3] not in ("*", str(before.total)):
        return False
    tag = _content(response).validator
    return not (tag and before.validator and tag != before.validator)
