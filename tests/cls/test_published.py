"""CIFAR's binary version and MNIST's idx files, written on the spot as they are published."""

from __future__ import annotations

import gzip
import pickle
import struct
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vf.errors import DataError
from vf.testing import check_dataset
from vf_cls.data.published import CIFAR10, COARSE, FASHION, FASHION_FIRST, FINE
from vf_cls.data_configs import Cifar10, Cifar100, FashionMnist, Mnist

RNG = np.random.default_rng(0)


def write_cifar10(folder: Path, *, rows: int = 2) -> dict[str, NDArray[np.uint8]]:
    """Write five files to train on and one to test on; return their rows."""
    folder.mkdir(parents=True)
    tables = {}
    for name in (*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"):
        table = RNG.integers(0, 256, (rows, 3073), dtype=np.uint8)
        table[:, 0] = [k % 10 for k in range(rows)]
        (folder / name).write_bytes(table.tobytes())
        tables[name] = table
    return tables


def write_cifar100(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name in ("train.bin", "test.bin"):
        table = np.zeros((3, 3074), np.uint8)
        table[:, 0], table[:, 1] = [0, 19, 4], [4, 89, 99]
        (folder / name).write_bytes(table.tobytes())


def tarred(folder: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name)
    return path


def idx(values: Any) -> bytes:
    array = np.asarray(values, np.uint8)
    return struct.pack(f">I{array.ndim}I", {1: 2049, 3: 2051}[array.ndim], *array.shape) + array.tobytes()


def write_mnist(folder: Path, *, test: Sequence[int] = (7, 2), packed: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, labels in (("train", (5, 0, 4)), ("t10k", test)):
        images = np.arange(len(labels) * 28 * 28).reshape(-1, 28, 28) % 251
        for name, data in ((f"{stem}-images-idx3-ubyte", idx(images)), (f"{stem}-labels-idx1-ubyte", idx(labels))):
            (folder / f"{name}{'.gz' * packed}").write_bytes(gzip.compress(data) if packed else data)


def problem(config: Any) -> str:
    with pytest.raises(DataError) as error:
        config.info()
    assert len(error.value.problems) == 1
    return error.value.problems[0]


def test_cifar10_from_its_files_and_from_the_tar(tmp_path: Path) -> None:
    tables = write_cifar10(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "packed").mkdir()
    tarred(tmp_path / "cifar-10-batches-bin", tmp_path / "packed" / "cifar-10-binary.tar.gz")
    places = [tmp_path, tmp_path / "cifar-10-batches-bin", tmp_path / "packed"]
    configs = [Cifar10(path=str(place)) for place in (*places, tmp_path / "packed" / "cifar-10-binary.tar.gz")]
    for config in configs:
        assert Cifar10.sniff(config.path) == {"path": config.path}
        assert Cifar100.sniff(config.path) is None
        check_dataset(config)
        assert config.info() == configs[0].info()
    info = configs[0].info()
    assert info.classes == CIFAR10
    assert info.num_samples == {"train": 10, "val": 2, "test": 2}
    assert info.notes == ("val is the test split, as published figures are; val: holdout keeps them apart",)
    train: Any = configs[0].build("train")
    sample = train[3]
    assert sample.id == "train/00003"
    assert sample.target["labels"].tolist() == [1]
    pixels = tables["data_batch_2.bin"][1, 1:].reshape(3, 32, 32)
    assert np.array_equal(sample.image.numpy(), pixels)
    with pytest.raises(IndexError):
        train[10]


def test_val_may_be_a_part_of_train_or_nothing(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c", rows=4)
    config = Cifar10(path=str(tmp_path / "c"), val="holdout", holdout=0.2)
    assert config.info().num_samples == {"train": 16, "test": 4, "val": 4}
    assert config.info().notes == ()
    built: list[Any] = [config.build("train"), config.build("val")]
    ids = [{one.id_of(i) for i in range(len(one))} for one in built]
    assert len(ids[0] | ids[1]) == 20
    assert built[1].objects().labels.tolist() == [built[1].labels_of(i)[0] for i in range(4)]
    assert config.as_delivered().info().num_samples == {"train": 20, "test": 4}
    assert [f.text for f in config.as_delivered().check()] == [
        "train: 20 images: airplane 5, automobile 5, bird 5, cat 5, deer 0, dog 0, frog 0, horse 0, … (10 classes)",
        "test: 4 images: airplane 1, automobile 1, bird 1, cat 1, deer 0, dog 0, frog 0, horse 0, … (10 classes)",
    ]


def test_cifar100_fine_and_coarse(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-binary")
    fine, coarse = Cifar100(path=str(tmp_path)), Cifar100(path=str(tmp_path), labels="coarse")
    assert len(FINE) == len(set(FINE)) == 100
    assert len(COARSE) == len(set(COARSE)) == 20
    assert [fine.info().classes[k] for k in fine.build("test").objects().labels] == ["beaver", "tractor", "worm"]  # type: ignore[attr-defined]
    assert [coarse.info().classes[k] for k in coarse.build("test").objects().labels] == [  # type: ignore[attr-defined]
        "aquatic_mammals",
        "vehicles_2",
        "fruit_and_vegetables",
    ]
    assert Cifar100.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    assert Cifar10.sniff(str(tmp_path)) is None


def test_pickles_are_refused_and_nothing_of_them_is_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "executed",)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Trap()))
    assert Cifar10.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    assert problem(Cifar10(path=str(tmp_path))) == (
        f"{folder}: is the Python version, which is pickles, and those are never loaded; take the binary version: "
        "vf data download cifar10"
    )
    assert not (tmp_path / "executed").exists()


def test_mistakes_of_cifar(tmp_path: Path) -> None:
    assert problem(Cifar10(path=str(tmp_path / "no"))) == (
        f"{tmp_path}/no: no such folder; data.path names the folder of the data set"
    )
    assert problem(Cifar10(path=str(tmp_path))) == (
        f"{tmp_path}: expected cifar-10-binary.tar.gz, or the *.bin files that are in it"
    )
    write_cifar10(tmp_path / "c")
    whole = (tmp_path / "c/data_batch_3.bin").read_bytes()
    (tmp_path / "c/data_batch_3.bin").write_bytes(whole[:-5])
    assert problem(Cifar10(path=str(tmp_path / "c"))) == (
        f"{tmp_path}/c/data_batch_3.bin: has 6141 bytes, expected rows of 3073; is it downloaded to its end?"
    )
    (tmp_path / "c/data_batch_3.bin").write_bytes(b"\x0a" + whole[1:])
    assert problem(Cifar10(path=str(tmp_path / "c"))) == (
        f"{tmp_path}/c: train: label 10 is out of range: there are 10 classes"
    )
    (tmp_path / "c/data_batch_3.bin").unlink()
    tar = tarred(tmp_path / "c", tmp_path / "cifar-10-binary.tar.gz")
    assert problem(Cifar10(path=str(tar))) == f"{tar}: data_batch_3.bin is missing"
    tar.write_bytes(tar.read_bytes()[:200])
    assert Cifar10.sniff(str(tar)) == {"path": str(tar)}
    assert problem(Cifar10(path=str(tar))).endswith("; is it downloaded to its end?")


@pytest.mark.parametrize("place", ["", "raw", "MNIST/raw"])
@pytest.mark.parametrize("packed", [False, True])
def test_mnist(tmp_path: Path, place: str, packed: bool) -> None:
    write_mnist(tmp_path / place, packed=packed)
    config = Mnist(path=str(tmp_path))
    check_dataset(config)
    assert config.info().classes == tuple("0123456789")
    assert config.info().num_samples == {"train": 3, "test": 2, "val": 2}
    sample = config.build("train")[1]
    assert sample.target["labels"].tolist() == [0]
    grey = np.arange(28 * 28, 2 * 28 * 28).reshape(28, 28) % 251
    assert np.array_equal(sample.image.numpy(), np.stack([grey] * 3))
    assert Mnist.sniff(str(tmp_path)) == {"path": str(tmp_path)}
    assert FashionMnist.sniff(str(tmp_path)) is None


def test_fashion_mnist_is_told_from_mnist(tmp_path: Path) -> None:
    write_mnist(tmp_path / "a", test=FASHION_FIRST)
    write_mnist(tmp_path / "b/FashionMNIST/raw")
    for name in ("a", "b"):
        path = str(tmp_path / name)
        assert FashionMnist.sniff(path) == {"path": path}
        assert Mnist.sniff(path) is None
    assert FashionMnist(path=str(tmp_path / "a")).info().classes == FASHION


def test_mistakes_of_mnist(tmp_path: Path) -> None:
    assert problem(Mnist(path=str(tmp_path))) == (
        f"{tmp_path}: expected train-images-idx3-ubyte, train-labels-idx1-ubyte, plain or .gz"
    )
    write_mnist(tmp_path)
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    whole = images.read_bytes()
    images.write_bytes(whole[:-1])
    assert problem(Mnist(path=str(tmp_path))) == (
        f"{images}: has 2351 bytes of values, its head says 3×28×28; is it downloaded to its end?"
    )
    images.write_bytes(b"PK" + whole[2:])
    assert problem(Mnist(path=str(tmp_path))) == (
        f"{images}: is no idx file of 3 dimensions: it begins with b'PK\\x08\\x03', expected b'\\x00\\x00\\x08\\x03'"
    )
    images.write_bytes(whole)
    labels.write_bytes(idx([1, 2]))
    assert problem(Mnist(path=str(tmp_path))) == f"{labels}: has 2 labels for 3 images"
    labels.unlink()
    packed = tmp_path / "train-labels-idx1-ubyte.gz"
    packed.write_bytes(gzip.compress(idx([1, 2, 3]))[:-6])
    assert problem(Mnist(path=str(tmp_path))).startswith(f"{packed}: cannot be read: ")


def test_pixels_are_not_pickled(tmp_path: Path) -> None:
    write_cifar10(tmp_path / "c", rows=50)
    train: Any = Cifar10(path=str(tmp_path / "c")).build("train")
    text = pickle.dumps(train)
    assert len(text) < 2000
    again = pickle.loads(text)
    assert np.array_equal(again[7].image, train[7].image)
    assert train.sizes().tolist() == [[32, 32]] * 250
