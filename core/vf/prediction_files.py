"""Files of predictions: written and read entry by entry, so that memory does not grow, and whole or not at all."""

from __future__ import annotations

import contextlib
import heapq
import importlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import attrs

from vf.errors import DataError, PluginError, RunError, SetupError
from vf.predictions import FORMAT, Head, Key, Restore, decode, encode
from vf.protocols import Predicted

JSON, PARQUET = ".json", ".parquet"
PICKLES = (".pkl", ".pickle", ".pt", ".pth")
ROWS = 64
"""Entries of a parquet file that are held at a time."""
_LIST = '"images": ['


def check_name(name: str, option: str) -> None:
    """Refuse a name that says another form than JSON or parquet, and parquet where nothing can write it.

    Raises:
        RunError: of another form.
        SetupError: pyarrow is not installed.
    """
    suffix = Path(name).suffix.lower()
    if suffix in PICKLES:
        raise RunError(
            f"{option} {name}: pickles are neither written nor read, because opening one can run any program; take a "
            "name that ends in .json or .parquet"
        )
    if suffix not in (JSON, PARQUET):
        raise RunError(f"{option} {name}: expected a name that ends in .json or .parquet")
    if suffix == PARQUET:
        _pyarrow(f"{option} {name}")


def _pyarrow(where: str) -> tuple[Any, Any]:
    try:
        return importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise SetupError(f"{where}: pyarrow is not installed; pip install pyarrow, or take a .json") from None


class Part:
    """The entries of one process, in a file of its own, each with its place in the split.

    Args:
        path: is made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, Key] = {}
        self.count = 0
        self._file = path.open("w", encoding="utf-8")

    def add(self, place: int, predicted: Predicted) -> None:
        """Write one entry; PluginError where the keys are not those of the ones before."""
        keys, line = encode(predicted)
        if self.count and keys != self.keys:
            first, now = (sorted(f"{n} {k.dtype}{k.row}" for n, k in both.items()) for both in (self.keys, keys))
            raise PluginError(
                f"predictions: image {predicted.id!r} has the keys {', '.join(now)}, those before it "
                f"{', '.join(first)}; all must have the same"
            )
        self.keys = keys
        self.count += 1
        self._file.write(f"{place}\t{line}\n")

    def close(self) -> None:
        """Write what is left."""
        self._file.close()


def merged(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the entries of parts as lines, in the order of the split."""
    last = -1
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(path.open(encoding="utf-8")) for path in paths]
        for place, line in heapq.merge(*map(_placed, files), key=lambda entry: entry[0]):
            assert place > last, f"image {place} came twice"
            last = place
            yield line


def _placed(file: TextIO) -> Iterator[tuple[int, str]]:
    for row in file:
        place, _, line = row.rstrip("\n").partition("\t")
        yield int(place), line


@contextlib.contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of ``path`` when all went well; RunError where the disk refuses."""
    fresh = path.with_name(f".writing_{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield fresh
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(fresh, path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def write(path: Path, head: Head, lines: Iterable[str]) -> None:
    """Write a file of predictions, of the form that its suffix says, replacing one that is there.

    Args:
        path: ends in .json or .parquet.
        head: of the file.
        lines: its entries.
    """
    with aside(path) as fresh:
        if path.suffix.lower() == PARQUET:
            _write_parquet(fresh, head, lines)
            return
        with fresh.open("w", encoding="utf-8") as file:
            file.write(f"{head.text()}, {_LIST}")
            for number, line in enumerate(lines):
                file.write(f"{',' if number else ''}\n{line}")
            file.write("\n]}\n")


def _write_parquet(path: Path, head: Head, lines: Iterable[str]) -> None:
    pa, pq = _pyarrow(str(path))
    writer: Any = None
    try:
        for rows in _batched(map(json.loads, lines), ROWS):
            if writer is None:
                schema = _schema(pa, head, rows[0])
                writer = pq.ParquetWriter(path, schema, compression="zstd")
            table = [_row(row, head) for row in rows]
            writer.write_table(pa.Table.from_pylist(table, schema=writer.schema))
        if writer is None:
            writer = pq.ParquetWriter(path, _schema(pa, head, {}), compression="zstd")
    finally:
        if writer is not None:
            writer.close()


def _batched(items: Iterable[Any], count: int) -> Iterator[list[Any]]:
    held: list[Any] = []
    for item in items:
        held.append(item)
        if len(held) == count:
            yield held
            held = []
    if held:
        yield held


def _schema(pa: Any, head: Head, first: Mapping[str, Any]) -> Any:
    """Columns of the types of the numbers; what is no tensor of numbers is JSON text."""
    columns: list[tuple[str, Any]] = [("id", pa.string())]
    if "image_id" in first:
        columns.append(("image_id", pa.int64() if isinstance(first["image_id"], int) else pa.string()))
    columns += [("height", pa.int32()), ("width", pa.int32())]
    for name, key in head.keys.items():
        if first and name not in first:
            continue
        kind = pa.bool_() if key.dtype == "bool" else getattr(pa, key.dtype)() if key.dtype else pa.string()
        for _ in (0, *key.row) if key.dtype and key.row is not None else ():
            kind = pa.list_(kind)
        columns.append((name, kind))
    return pa.schema(columns, metadata={FORMAT: head.text() + "}"})


def _row(entry: Mapping[str, Any], head: Head) -> dict[str, Any]:
    row = {name: value for name, value in entry.items() if name != "size"}
    for name, value in row.items():
        if name in head.keys and not head.keys[name].dtype:
            row[name] = json.dumps(value, ensure_ascii=False)
    return {**row, "height": entry["size"][0], "width": entry["size"][1]}


@attrs.frozen
class Saved:
    """A file of predictions that is there."""

    path: Path
    head: Head
    _entries: Callable[[], Iterator[Any]]

    def __iter__(self) -> Iterator[Any]:
        """Yield the entries as plain data; DataError where the file is cut off or broken."""
        return self._entries()

    def read(self, restore: Restore) -> Iterator[Predicted]:
        """Yield the predictions; see `vf.predictions.decode`."""
        for entry in self:
            yield decode(entry, self.head, str(self.path), restore)


def open_saved(name: str) -> Saved:
    """Open a file that :func:`write` wrote, or another program in its form.

    Raises:
        DataError: it is missing or no file of predictions.
        RunError, SetupError: as :func:`check_name`.
    """
    check_name(name, "--predictions")
    path = Path(name)
    if not path.is_file():
        raise DataError(f"--predictions {name}: no such file")
    return _open_parquet(path) if path.suffix.lower() == PARQUET else _open_json(path)


def _open_json(path: Path) -> Saved:
    try:
        with path.open(encoding="utf-8") as file:
            first = file.readline()
            if first.rstrip().endswith(_LIST):
                head = Head.parse(json.loads(first + "]}"), str(path))
                return Saved(path, head, lambda: _lines(path))
            # Laid out by another program: it is held as a whole.
            data = json.loads(first + file.read())
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON: {error}") from None
    head = Head.parse(data, str(path))
    images = data.get("images")
    if not isinstance(images, list):
        raise DataError(f"{path}: expected a list under 'images', got {type(images).__name__}")
    return Saved(path, head, lambda: iter(images))


def _lines(path: Path) -> Iterator[Any]:
    number = 1
    with path.open(encoding="utf-8") as file:
        file.readline()
        for number, line in enumerate(file, 2):
            text = line.strip()
            if text == "]}":
                return
            try:
                yield json.loads(text.removesuffix(","))
            except ValueError as error:
                raise DataError(f"{path}:{number}: not valid JSON, or cut off: {error}") from None
    raise DataError(f"{path}: is cut off after line {number}: expected ]}} at its end")


def _open_parquet(path: Path) -> Saved:
    pa, pq = _pyarrow(str(path))
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from None
    metadata = (file.schema_arrow.metadata or {}).get(FORMAT.encode())
    head = Head.parse(json.loads(metadata) if metadata else None, str(path))
    return Saved(path, head, lambda: _parquet_rows(pq.ParquetFile(path), head))


def _parquet_rows(file: Any, head: Head) -> Iterator[dict[str, Any]]:
    for batch in file.iter_batches(batch_size=ROWS):
        for row in batch.to_pylist():
            entry = {name: value for name, value in row.items() if name not in ("height", "width")}
            for name in entry:
                if name in head.keys and not head.keys[name].dtype:
                    entry[name] = json.loads(entry[name])
            yield {**entry, "size": [row.get("height"), row.get("width")]}


def parts_of(folder: Path, count: int) -> Sequence[Path]:
    """Return the files of the parts of ``count`` processes."""
    return [folder / f"part-{rank}.jsonl" for rank in range(count)]
