"""Fetch the files of a published data set in threads, unpack them, and remember what is done. Free of torch.

FOLDER/train2017.zip              whole and checked
FOLDER/.vf-download/NAME.part     begun
FOLDER/.vf-download/done.json     address -> what was fetched and unpacked, so that a second call does nothing
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs

from vf.console import Bar, Console, duration
from vf.downloads import RemoteFile
from vf.errors import ConfigError, DataError, VFError, listed
from vf.fetch import StoppedError, alone, download
from vf.unpack import unpack

STATE = ".vf-download"
PATIENCE = 3.0
"""Seconds that threads get to end when the user stops."""
TICK = 0.2


@attrs.frozen
class Wanted:
    """One file to have, and what is done with it."""

    file: RemoteFile
    url: str
    """Where it is fetched from: the authors', or a mirror's."""
    unpack: bool


def choose(files: Sequence[RemoteFile], parts: Sequence[str], *, mirror: str = "", unzip: bool = True) -> list[Wanted]:
    """Return the files of some parts, each once, labels first because they are small.

    Args:
        files: of the data set.
        parts: names; empty: those that are fetched by default.
        mirror: a folder on another server that holds them all by their names.
        unzip: also what vf reads without that.

    Raises:
        ConfigError: there is no such part.
    """
    known = dict.fromkeys(file.part for file in files)
    for part in parts:
        if part not in known:
            raise ConfigError(f"--parts: no part {part!r}; expected some of {listed(known)}")
    chosen = {f.url: f for f in files if (f.part in parts if parts else f.default)}
    return [
        Wanted(
            file,
            f"{mirror.rstrip('/')}/{file.name}" if mirror else file.url,
            file.archive and (unzip or not file.stays),
        )
        for file in sorted(chosen.values(), key=lambda f: f.size or 0)
    ]


class Fetching:
    """The download of one data set into one folder."""

    def __init__(self, folder: Path, wanted: Sequence[Wanted], console: Console, *, threads: int) -> None:
        self.folder = folder
        self._state = folder / STATE
        self._wanted = wanted
        self._console = console
        self._threads = threads
        self._stop = threading.Event()
        self._bytes: dict[str, int] = {}
        self._done = _Record(self._state / "done.json")
        self._key = f"finished {' '.join(one.file.name for one in wanted)}"

    def finished(self) -> bool:
        """Whether a call before this one did all of it."""
        return bool(self._done.of(self._key)) and not self.missing()

    def missing(self) -> list[Wanted]:
        """What is still to be fetched or unpacked."""
        return [one for one in self._wanted if not self._is_done(one)]

    def _is_done(self, one: Wanted) -> bool:
        """Whether nothing is to be done: the archive is whole, or the first and the last of its files are there."""
        unpacked = self._done.of(one.file.url).get("unpacked", [])
        there = bool(unpacked) and all((self.folder / name).exists() for name in unpacked)
        return there or (not one.unpack and self._whole(one))

    def _whole(self, one: Wanted) -> bool:
        """Whether a file lies there, checked by an earlier call."""
        path, said = self.folder / one.file.name, self._done.of(one.file.url)
        return path.is_file() and path.stat().st_size == said.get("size")

    def run(self, *, delete: bool, finish: Callable[[Path], Sequence[str]] | None) -> None:
        """Fetch, unpack, and finish; StoppedError where the user stops it."""
        try:
            self._state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder}: cannot be written: {error.strerror}; say another --to") from None
        with alone(self._state / "folder", self._console.say):
            self._done.load()
            missing = self.missing()
            self._need_room(missing)
            try:
                self._fetch([one for one in missing if not self._whole(one)])
                for one in missing:
                    self._unpack(one)
            except KeyboardInterrupt:
                self._stop.set()
                raise StoppedError(self._kept()) from None
            if finish is not None and not self._done.of(self._key):
                for line in finish(self.folder):
                    self._console.say(line)
            self._done.note(self._key, finished=True)
            for one in self._wanted:
                path = self.folder / one.file.name
                if delete and one.unpack and self._is_done(one) and path.is_file():
                    path.unlink()
                    self._console.say(f"deleted {path}")

    def _need_room(self, missing: Sequence[Wanted]) -> None:
        """Raise where what is to come, fetched and unpacked, does not fit; images do not get smaller in a zip."""
        need = 0
        for one in missing:
            part = self._state / f"{one.file.name}.part"
            there = part.stat().st_size if part.is_file() else (one.file.size or 0) if self._whole(one) else 0
            need += max(0, (one.file.size or 0) - there) + (one.file.size or 0) * one.unpack
        free = shutil.disk_usage(self._state).free
        if need > free:
            raise DataError(
                f"{self.folder}: {need / 1e9:.1f} GB are to come, the disk has {free / 1e9:.1f} GB; make room, take "
                "another --to, or --no-unzip"
            )

    def _fetch(self, missing: Sequence[Wanted]) -> None:
        """Fetch files in threads under one bar, and raise the first error when all have ended."""
        if not missing:
            return
        jobs: queue.SimpleQueue[Wanted] = queue.SimpleQueue()
        for one in missing:
            jobs.put(one)
        problems: list[VFError] = []
        ended = [threading.Event() for _ in range(min(self._threads, len(missing)))]
        for event in ended:
            # Daemons: one that waits for a server that is silent does not keep the program from ending.
            threading.Thread(target=self._work, args=(jobs, problems, event), daemon=True).start()
        try:
            self._show(ended, missing)
        except KeyboardInterrupt:
            self._stop.set()
            until = time.monotonic() + PATIENCE
            # Events, because a join that Ctrl-C interrupts takes its thread for ended (CPython 3.11, bpo-46726).
            for event in ended:
                event.wait(max(0.0, until - time.monotonic()))
            raise
        if problems:
            raise DataError(*dict.fromkeys(line for problem in problems for line in problem.problems))

    def _work(self, jobs: queue.SimpleQueue[Wanted], problems: list[VFError], ended: threading.Event) -> None:
        try:
            while not self._stop.is_set():
                self._one(jobs.get_nowait(), problems)
        except (queue.Empty, StoppedError):
            pass
        finally:
            ended.set()

    def _one(self, one: Wanted, problems: list[VFError]) -> None:
        try:
            self._have(one)
        except VFError as error:
            problems.append(error)
        except OSError as error:
            problems.append(DataError(f"{self.folder}: cannot be written: {error.strerror or error}"))

    def _have(self, one: Wanted) -> None:
        name, hidden = one.file.name, self._state / one.file.name

        def progress(done: int) -> None:
            self._bytes[name] = done

        download(one.url, hidden, digest=one.file.digest, size=one.file.size, progress=progress, stop=self._stop)
        os.replace(hidden, self.folder / name)
        size = (self.folder / name).stat().st_size
        self._done.note(one.file.url, size=size, digest=one.file.digest)
        checked = one.file.digest.partition(":")[0] or "size alone: no checksum is published"
        self._console.say(f"fetched {self.folder / name}, {size / 1e6:.1f} MB, checked by {checked}")

    def _show(self, ended: Sequence[threading.Event], missing: Sequence[Wanted]) -> None:
        total = sum(one.file.size or 0 for one in missing)
        begun = None
        bar = self._console.bar("fetch MB", max(1, total // 1_000_000))
        since = time.monotonic()
        while running := [event for event in ended if not event.is_set()]:
            running[0].wait(TICK)
            done = sum(self._bytes.values())
            if begun is None and done:
                begun, since = done, time.monotonic()
            bar.update(done // 1_000_000, _speed(done, begun or 0, total, time.monotonic() - since))
        bar.close()

    def _unpack(self, one: Wanted) -> None:
        path = self.folder / one.file.name
        if not one.unpack:
            return
        bar = self._console.bar(f"unpack {path.name} MB", max(1, path.stat().st_size // 1_000_000))
        folder = self.folder / one.file.into
        names = unpack(path, folder, strip=one.file.strip, progress=lambda done, total: _show(bar, done, total))
        bar.close()
        self._done.note(
            one.file.url, unpacked=[str(Path(one.file.into, name)) for name in names[:: max(1, len(names) - 1)]]
        )
        self._console.say(f"unpacked {len(names)} files of {path}")

    def _kept(self) -> str:
        parts = sorted(self._state.glob("*.part"))
        kept = ", ".join(f"{p.stat().st_size / 1e6:.1f} MB of {p.stem}" for p in parts) or "what was whole"
        return f"stopped; kept {kept}; the same command goes on from there"


def _speed(done: int, begun: int, total: int, seconds: float) -> str:
    rate = (done - begun) / seconds if seconds > 0 else 0.0
    left = f", {duration((total - done) / rate)} left" if rate > 0 and total > done else ""
    return f"{rate / 1e6:.1f} MB/s{left}"


def _show(bar: Bar, done: int, total: int) -> None:
    bar.update(done // 1_000_000, f"of {total // 1_000_000}")


class _Record:
    """done.json: what is known of each address, written by one process at a time, its threads in turn."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._said: dict[str, dict[str, Any]] = {}
        self.load()

    def load(self) -> None:
        """Read it; a broken one counts as empty."""
        try:
            said = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            said = {}
        self._said = said if isinstance(said, dict) else {}

    def of(self, url: str) -> Mapping[str, Any]:
        """What is known of an address."""
        return self._said.get(url, {})

    def note(self, url: str, **facts: Any) -> None:
        """Write down more."""
        with self._lock:
            self._said[url] = {**self._said.get(url, {}), **facts}
            fresh = self._path.with_suffix(".new")
            fresh.write_text(json.dumps(self._said, indent=1), encoding="utf-8")
            os.replace(fresh, self._path)


def check_mirror(url: str) -> None:
    """Raise ConfigError where an address cannot be that of a server."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"--mirror {url}: expected an address like https://host/folder")
