"""Data sets whose images lie in a few files of plain numbers: CIFAR's binary version and MNIST's idx files."""

from __future__ import annotations

import gzip
import struct
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision import tv_tensors

from vf.data.entries import Objects
from vf.data.sample import Sample
from vf.errors import DataError

IDX_MAGIC = {1: 2049, 3: 2051}
"""First four bytes of an idx file of uint8, by its number of dimensions."""


@attrs.frozen
class Stored:
    """One file as published: plain, or packed by gzip, or a member of a tar."""

    path: Path
    member: str = ""
    """Name in the tar ``path``; empty: the file itself."""

    @property
    def where(self) -> str:
        """How messages call it."""
        return str(self.path / self.member)

    def read(self) -> bytes:
        """Return its bytes, unpacked; DataError where it cannot be read."""
        try:
            if self.member:
                return _member(self.path, self.member)
            data = self.path.read_bytes()
            return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
            raise DataError(f"{self.where}: cannot be read: {error}; is it downloaded to its end?") from None


def _member(path: Path, name: str) -> bytes:
    with tarfile.open(path) as archive:
        file = archive.extractfile(name)
        if file is None:
            raise DataError(f"{path / name}: is no file")
        return file.read()


def members(path: Path) -> dict[str, str]:
    """Return base name -> name of the files in a tar; DataError where it cannot be read."""
    try:
        with tarfile.open(path) as archive:
            return {Path(info.name).name: info.name for info in archive if info.isfile()}
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"{path}: cannot be read: {error}; is it downloaded to its end?") from None


@attrs.frozen
class Cifar:
    """Rows of one or two labels and 3 × 32 × 32 pixels, in one file or several."""

    files: tuple[Stored, ...]
    label_bytes: int
    """Of a row: 1 in CIFAR-10, 2 in CIFAR-100, coarse and fine."""
    label: int
    """Which of them counts."""

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images [N,32,32,3] RGB and labels [N]."""
        width = self.label_bytes + 3072
        rows = []
        for file in self.files:
            data = file.read()
            if not data or len(data) % width:
                raise DataError(
                    f"{file.where}: has {len(data)} bytes, expected rows of {width}; is it downloaded to its end?"
                )
            rows.append(np.frombuffer(data, np.uint8).reshape(-1, width))
        table = np.concatenate(rows)
        images = table[:, self.label_bytes :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return np.ascontiguousarray(images), table[:, self.label].astype(np.int64)


@attrs.frozen
class Idx:
    """MNIST's two files: images and labels."""

    images: Stored
    labels: Stored

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return images [N,H,W,1] grey and labels [N]."""
        images, labels = read_idx(self.images, 3), read_idx(self.labels, 1)
        if len(images) != len(labels):
            raise DataError(f"{self.labels.where}: has {len(labels)} labels for {len(images)} images")
        return images[..., None], labels.astype(np.int64)


def read_idx(file: Stored, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of uint8 (yann.lecun.com/exdb/mnist)."""
    data = file.read()
    head = 4 + 4 * dimensions
    magic = struct.unpack(">I", data[:4])[0] if len(data) >= head else None
    if magic != IDX_MAGIC[dimensions]:
        raise DataError(
            f"{file.where}: is no idx file of {dimensions} dimensions: it begins with {data[:4]!r}, expected "
            f"{struct.pack('>I', IDX_MAGIC[dimensions])!r}"
        )
    shape = struct.unpack(f">{dimensions}I", data[4:head])
    if len(data) - head != int(np.prod(shape)):
        raise DataError(
            f"{file.where}: has {len(data) - head} bytes of values, its head says {'×'.join(map(str, shape))}; "
            "is it downloaded to its end?"
        )
    return np.frombuffer(data, np.uint8, offset=head).reshape(shape)


class PackedImages:
    """One split. Grey images become RGB; targets have ``labels`` int64 [1].

    The pixels are read once, shared by forked workers, and never pickled: another process reads them again.

    Args:
        rows: the files.
        indices: of the images that count, in order; None: all.
        prefix: of the ids.
    """

    def __init__(self, rows: Cifar | Idx, *, indices: Sequence[int] | None, prefix: str) -> None:
        self._rows = rows
        self._indices = None if indices is None else np.asarray(indices, np.int64)
        self._prefix = prefix
        self._pixels, self._labels = rows.read()

    def __getstate__(self) -> dict[str, Any]:
        return {"_rows": self._rows, "_indices": self._indices, "_prefix": self._prefix}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state)
        self._pixels, self._labels = self._rows.read()

    def __len__(self) -> int:
        return len(self._labels) if self._indices is None else len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        pixels = self._pixels[self._at(index)]
        rgb = np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels.copy()
        return Sample(
            tv_tensors.Image(torch.from_numpy(rgb).permute(2, 0, 1)), self.target(index, (0, 0)), self.id_of(index)
        )

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Return the target of an image."""
        return {"labels": torch.from_numpy(self.labels_of(index))}

    def id_of(self, index: int) -> str:
        """Split and number in the files, from 0."""
        return f"{self._prefix}/{self._at(index):05d}"

    def labels_of(self, index: int) -> NDArray[np.int64]:
        """Class index of an image, [1]."""
        at = self._at(index)
        return self._labels[at : at + 1]

    def objects(self) -> Objects:
        """All labels, flat."""
        labels = self._labels if self._indices is None else self._labels[self._indices]
        return Objects(np.ones(len(self), np.int64), labels)

    def sizes(self) -> NDArray[np.int32]:
        """Height and width of each image [N,2]."""
        return np.tile(np.array(self._pixels.shape[1:3], np.int32), (len(self), 1))

    def _at(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return index if self._indices is None else int(self._indices[index])
