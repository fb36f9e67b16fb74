"""Config classes of published data sets. Free of torch.

Addresses are those of their authors, and of MNIST that of the PyTorch project, because its authors serve it no more.
The pages of CIFAR and of Fashion-MNIST name their md5; those of MNIST and Imagenette are what torchvision checks
(torchvision.datasets.mnist, torchvision.datasets.imagenette). Sizes are what others recorded who fetched the files;
none is known of Imagenette.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import vf
from vf.downloads import RemoteFile

__all__ = ["Cifar10", "Cifar100", "FashionMnist", "Imagenette", "Imagenette160", "Imagenette320", "Mnist"]

_CIFAR = "https://www.cs.toronto.edu/~kriz"
_MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist"
_FASHION = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_IMAGENETTE = "https://s3.amazonaws.com/fast-ai-imageclas"
_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def _named(folder: Path) -> Sequence[str]:
    """Write what the folders of Imagenette's classes stand for, as ImageNet's file says it."""
    file = folder / "LOC_synset_mapping.txt"
    file.write_text("".join(f"{wnid} {name}\n" for wnid, name in _NAMES.items()), encoding="utf-8")
    return [f"wrote {file}: names of {len(_NAMES)} classes"]


def _cifar(name: str, size: int, digest: str) -> list[RemoteFile]:
    return [RemoteFile(url=f"{_CIFAR}/{name}", part="all", size=size, digest=f"md5:{digest}", stays=True)]


def _idx(server: str, files: Sequence[tuple[str, str, int, str]]) -> list[RemoteFile]:
    """Describe idx files: name, part, size, digest."""
    return [
        RemoteFile(url=f"{server}/{name}-ubyte.gz", part=part, size=size, digest=f"md5:{digest}", archive=False)
        for name, part, size, digest in files
    ]


def _imagenette(name: str, digest: str) -> list[RemoteFile]:
    return [RemoteFile(url=f"{_IMAGENETTE}/{name}.tgz", part="all", digest=f"md5:{digest}", strip=name)]


@vf.config
class Cifar10:
    """CIFAR-10, binary version: 50,000 and 10,000 images 32×32 of 10 classes."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return _cifar("cifar-10-binary.tar.gz", 170052171, "c32a1d4ab5d03f1284b67883e8d87530")


@vf.config
class Cifar100:
    """CIFAR-100, binary version: 50,000 and 10,000 images 32×32 of 100 classes in 20 groups."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return _cifar("cifar-100-binary.tar.gz", 168513733, "03b5dce01913d631647c71ecec9e9cb8")


@vf.config
class Mnist:
    """MNIST: 60,000 and 10,000 handwritten digits, 28×28."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        return _idx(
            _MNIST,
            (
                ("train-images-idx3", "train", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
                ("train-labels-idx1", "train", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
                ("t10k-images-idx3", "test", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
                ("t10k-labels-idx1", "test", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
            ),
        )


@vf.config
class FashionMnist:
    """Fashion-MNIST: 60,000 and 10,000 pictures of clothes, 28×28, in MNIST's form."""

    def build(self) -> Sequence[RemoteFile]:
        """List the files."""
        return _idx(
            _FASHION,
            (
                ("train-images-idx3", "train", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
                ("train-labels-idx1", "train", 29515, "25c81989df183df01b3e8a0aad5dffbe"),
                ("t10k-images-idx3", "test", 4422102, "bef4ecab320f06d8554ea6380940ec79"),
                ("t10k-labels-idx1", "test", 5148, "bb300cfdad3c16e7a12a480ee83cd310"),
            ),
        )


@vf.config
class Imagenette:
    """Imagenette (fast.ai): ten easy classes of ImageNet, 13,000 images in full size."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return _imagenette("imagenette2", "fe2fc210e6bb7c5664d602c3cd71e612")

    def finish(self, folder: Path) -> Sequence[str]:
        """Name the classes."""
        return _named(folder)


@vf.config
class Imagenette320:
    """Imagenette with a short side of 320 px."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return _imagenette("imagenette2-320", "3df6f0d01a2c9592104656642f5e78a3")

    def finish(self, folder: Path) -> Sequence[str]:
        """Name the classes."""
        return _named(folder)


@vf.config
class Imagenette160:
    """Imagenette with a short side of 160 px."""

    def build(self) -> Sequence[RemoteFile]:
        """List the file."""
        return _imagenette("imagenette2-160", "e793b78cc4c9e9a4ccc0c1155377a412")

    def finish(self, folder: Path) -> Sequence[str]:
        """Name the classes."""
        return _named(folder)
