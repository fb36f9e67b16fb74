"""What a metric keeps of the images that it saw: flat tables that merge across processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vf.errors import DataError
from vf_det.masks import Masks

Table = NDArray[Any]


class Rows:
    """Rows of numbers in one buffer, which doubles when it is full.

    An array for each image would lie between the large blocks that a model takes and frees, and keep that memory
    from being used again: ten times what the numbers take.
    """

    def __init__(self, width: int, dtype: Any = np.float32) -> None:
        self._buffer = np.empty((1024, width), dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, rows: Table) -> None:
        """Append [N,width]."""
        count = self._count + len(rows)
        if count > len(self._buffer):
            grown = np.empty((max(count, 2 * len(self._buffer)), rows.shape[1]), self._buffer.dtype)
            grown[: self._count] = self.table
            self._buffer = grown
        self._buffer[self._count : count] = rows
        self._count = count

    @property
    def table(self) -> Table:
        """A view of all rows."""
        return self._buffer[: self._count]


class Texts:
    """Byte strings in one buffer: the run lengths of masks, at about what they take in a file."""

    def __init__(self) -> None:
        self._bytes, self._ends = Rows(1, np.uint8), Rows(1, np.int64)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> bytes:
        start = 0 if index == 0 else self._ends.table[index - 1, 0]
        return self._bytes.table[start : self._ends.table[index, 0], 0].tobytes()

    def add(self, texts: Sequence[bytes]) -> None:
        """Append strings."""
        if texts:
            lengths = np.array([len(t) for t in texts], np.int64)
            self._ends.add((len(self._bytes) + lengths.cumsum())[:, None])
            self._bytes.add(np.frombuffer(b"".join(texts), np.uint8)[:, None])

    def state(self) -> dict[str, Tensor]:
        """All bytes, and where each string ends."""
        return {"bytes": torch.from_numpy(self._bytes.table.copy()), "ends": torch.from_numpy(self._ends.table.copy())}

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> Texts:
        """Undo :meth:`state`."""
        out = cls()
        out._bytes.add(state["bytes"].numpy())
        out._ends.add(state["ends"].numpy())
        return out


class Collected:
    """Tables whose first column counts images, and the ids of those images.

    Args:
        widths: columns of each table, the image's number included.
        texts: tables whose rows have a byte string each.
        dtype: of all tables; float64 where counts of pixels must be exact.
    """

    def __init__(self, widths: Mapping[str, int], *, texts: Sequence[str] = (), dtype: Any = np.float32) -> None:
        self._widths, self._with_texts, self._dtype = dict(widths), tuple(texts), dtype
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self.images: list[str] = []
        self._tables = {key: Rows(width, self._dtype) for key, width in self._widths.items()}
        self._texts = {key: Texts() for key in self._with_texts}

    def see(self, id_: Any) -> int:
        """Count one more image and return its number."""
        self.images.append(str(id_))
        return len(self.images) - 1

    def add(self, key: str, number: int, *columns: Any, texts: Sequence[bytes] = ()) -> None:
        """Append rows of image ``number``: columns are [N] or [N,*], tensors or arrays, joined in their order."""
        arrays = [np.asarray(c.detach().cpu() if isinstance(c, Tensor) else c) for c in columns]
        if not len(arrays[0]):
            return
        rows = np.empty((len(arrays[0]), self._widths[key]), self._dtype)
        rows[:, 0] = number
        at = 1
        for array in arrays:
            flat = array.reshape(len(rows), -1)
            rows[:, at : at + flat.shape[1]] = flat
            at += flat.shape[1]
        assert at == self._widths[key], f"{key}: {at} columns, expected {self._widths[key]}"
        self._tables[key].add(rows)
        if key in self._texts:
            assert len(texts) == len(rows)
            self._texts[key].add(texts)

    def state(self) -> dict[str, Any]:
        """Ids of the images, the tables, and the byte strings; plain data."""
        state: dict[str, Any] = {"images": list(self.images)}
        state |= {key: torch.from_numpy(rows.table.copy()) for key, rows in self._tables.items()}
        return state | {f"{key}_texts": texts.state() for key, texts in self._texts.items()}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds; an image that two saw counts once."""
        self.clear()
        seen: set[str] = set()
        for state in states:
            numbers = np.full(len(state["images"]), -1)
            for i, id_ in enumerate(state["images"]):
                if id_ not in seen:
                    seen.add(id_)
                    numbers[i] = len(self.images)
                    self.images.append(id_)
            for key, rows in self._tables.items():
                table = state[key].numpy()
                order, fresh = _renumbered(table, numbers)
                rows.add(fresh)
                if key in self._texts:
                    texts = Texts.of(state[f"{key}_texts"])
                    self._texts[key].add([texts[i] for i in order])

    def in_order(self) -> tuple[dict[str, Table], dict[str, list[bytes]]]:
        """Return the tables and their strings sorted by the images' ids, and numbered so.

        Ties between scores then fall alike whoever saw the images, and in which order.
        """
        order = np.argsort(np.array(self.images, dtype=np.str_), kind="stable")
        numbers = np.argsort(order)
        tables, strings = {}, {}
        for key, rows in self._tables.items():
            at, tables[key] = _renumbered(rows.table, numbers)
            if key in self._texts:
                texts = self._texts[key]
                strings[key] = [texts[i] for i in at]
        return tables, strings


def _renumbered(table: Table, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], Table]:
    """Return rows whose first column n is ``numbers[n]``, sorted by it; without those for which it is under 0."""
    fresh = numbers[table[:, 0].astype(np.int64)]
    order = np.argsort(fresh, kind="stable")
    order = order[fresh[order] >= 0]
    out = table[order]
    out[:, 0] = fresh[order]
    return order, out


def masks_of(entry: Mapping[str, Any], where: str) -> Masks:
    """Return ``entry["masks"]`` as run lengths; DataError, which begins with ``where``, where there are none."""
    masks = entry.get("masks")
    if masks is None:
        raise DataError(f"{where} has no masks: use a model with masks and data with masks: true, or measure boxes")
    if isinstance(masks, Tensor):
        return Masks.from_dense(masks.detach().cpu().bool())
    assert isinstance(masks, Masks)
    return masks


def masks_of_both(prediction: Mapping[str, Any], target: Mapping[str, Any], where: str) -> tuple[Masks, Masks]:
    """Return the masks found and the masks labelled in one image; DataError where one lacks them or sizes differ."""
    where = f"{where}: image {target['id']!r}"
    found, labelled = masks_of(prediction, f"{where}: prediction"), masks_of(target, f"{where}: target")
    if len(found) and len(labelled) and found.size != labelled.size:
        sizes = " found, ".join("×".join(map(str, masks.size)) for masks in (found, labelled))
        raise DataError(f"{where}: masks of {sizes} labelled (height × width); both must be of the decoded image")
    return found, labelled


def size_of(found: Masks, labelled: Masks) -> NDArray[np.int64]:
    """Return the size of an image's masks, [1,2]: a row of the table ``sizes``."""
    return np.array([labelled.size if len(labelled) else found.size], np.int64)


def texts_of(masks: Masks) -> list[bytes]:
    """Return the run lengths of masks."""
    return [rle["counts"] for rle in masks.rles]


def rles_of(tables: Mapping[str, Table], strings: Mapping[str, list[bytes]], key: str) -> list[dict[str, Any]]:
    """Return COCO's run-length dicts for the rows of table ``key``, with the sizes of table ``sizes``."""
    sizes = np.zeros((1 + int(tables[key][:, 0].max(initial=0)), 2), np.int64)
    own = tables["sizes"]
    own = own[own[:, 0] < len(sizes)]
    sizes[own[:, 0].astype(np.int64)] = own[:, 1:]
    of_rows = sizes[tables[key][:, 0].astype(np.int64)].tolist()
    return [{"size": size, "counts": text} for size, text in zip(of_rows, strings[key], strict=True)]


def box_areas(boxes: Tensor) -> Tensor:
    """Return the areas [N] of boxes [N,4] XYXY."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def flags(target: Mapping[str, Any], *keys: str) -> Tensor:
    """Return bool [N]: which objects have one of the flags ``keys``; those that the target lacks are false."""
    out = torch.zeros(len(target["labels"]), dtype=torch.bool)
    for key in keys:
        if target.get(key) is not None:
            out |= target[key].detach().cpu().bool()
    return out


def mean(values: NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are numbers; None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
