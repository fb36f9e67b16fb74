"""Find the files of CIFAR-10, CIFAR-100, MNIST and Fashion-MNIST as they are published, packed or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vf.data.reading import hold_out
from vf.errors import DataError
from vf.protocols import Split
from vf_cls.data.packed import Cifar, Idx, Stored, members, read_idx

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
COARSE = (
    *("aquatic_mammals", "fish", "flowers", "food_containers", "fruit_and_vegetables", "household_electrical_devices"),
    *("household_furniture", "insects", "large_carnivores", "large_man-made_outdoor_things"),
    *("large_natural_outdoor_scenes", "large_omnivores_and_herbivores", "medium_mammals", "non-insect_invertebrates"),
    *("people", "reptiles", "small_mammals", "trees", "vehicles_1", "vehicles_2"),
)
FINE = (
    *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy"),
    *("bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock"),
    *("cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish"),
    *("forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion"),
    *("lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange"),
    *("orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine"),
    *("possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk"),
    *("skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank"),
    *("telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale"),
    *("willow_tree", "wolf", "woman", "worm"),
)
DIGITS = tuple("0123456789")
FASHION = (*("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),)
FASHION_FIRST = (9, 2, 1, 1, 6, 1, 4, 6, 5, 7)
"""The first labels of Fashion-MNIST's test: its files have the names of MNIST's."""

CIFAR_FILES: Mapping[int, Mapping[Split, Sequence[str]]] = {
    10: {"train": [f"data_batch_{k}.bin" for k in range(1, 6)], "test": ["test_batch.bin"]},
    100: {"train": ["train.bin"], "test": ["test.bin"]},
}
CIFAR_FOLDERS = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}
CIFAR_TARS = {10: "cifar-10-binary.tar.gz", 100: "cifar-100-binary.tar.gz"}
CIFAR_PICKLES = {
    10: ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    100: ("cifar-100-python", "cifar-100-python.tar.gz"),
}
IDX_STEMS: Mapping[Split, str] = {"train": "train", "test": "t10k"}
IDX_FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")


def cifar_files(path: Path, kind: int) -> dict[str, Stored] | None:
    """Return the files of CIFAR-10 or -100 by name, in a folder or in the tar as published; None: in neither."""
    wanted = [name for names in CIFAR_FILES[kind].values() for name in names]
    for folder in (path, path / CIFAR_FOLDERS[kind]):
        if all((folder / name).is_file() for name in wanted) and _is_cifar(folder, kind):
            return {name: Stored(folder / name) for name in wanted}
    for tar in (path, path / CIFAR_TARS[kind]):
        if tar.is_file() and tar.name == CIFAR_TARS[kind]:
            there = members(tar)
            return {name: Stored(tar, there[name]) for name in wanted if name in there}
    return None


def _is_cifar(folder: Path, kind: int) -> bool:
    """Whether the rows are of the kind: train.bin alone may be anything."""
    return all((folder / n).stat().st_size % (3072 + (1 if kind == 10 else 2)) == 0 for n in CIFAR_FILES[kind]["test"])


def pickled_cifar(path: Path, kind: int) -> Path | None:
    """Return where the Python version lies, which is pickles; None: nowhere."""
    folder, tar = CIFAR_PICKLES[kind]
    inside = "data_batch_1" if kind == 10 else "fine_label_names"  # of the Python version, files have no ending
    found = [p for p in (path, path / folder) if (p / inside).is_file() or (p.name == folder and p.is_dir())]
    found += [p for p in (path, path / tar) if p.is_file() and p.name == tar]
    return found[0] if found else None


def cifar(path: Path, kind: int, *, fine: bool) -> dict[Split, Cifar]:
    """Return the splits of CIFAR; DataError where the files are not there."""
    files = cifar_files(path, kind)
    if files is None:
        if pickles := pickled_cifar(path, kind):
            raise DataError(
                f"{pickles}: is the Python version, which is pickles, and those are never loaded; take the binary "
                f"version: vf data download cifar{kind}"
            )
        raise DataError(f"{path}: expected {CIFAR_TARS[kind]}, or the *.bin files that are in it")
    missing = [name for names in CIFAR_FILES[kind].values() for name in names if name not in files]
    if missing:
        raise DataError(f"{path}: {missing[0]} is missing")
    bytes_, label = (1, 0) if kind == 10 else (2, int(fine))
    return {s: Cifar(tuple(files[n] for n in names), bytes_, label) for s, names in CIFAR_FILES[kind].items()}


def idx_files(path: Path) -> dict[Split, Idx]:
    """Return the splits whose files are there, in MNIST's names, packed or not."""
    found: dict[Split, Idx] = {}
    for folder in (path / name for name in IDX_FOLDERS):
        for split, stem in IDX_STEMS.items():
            images = _first(folder, f"{stem}-images-idx3-ubyte", f"{stem}-images.idx3-ubyte")
            labels = _first(folder, f"{stem}-labels-idx1-ubyte", f"{stem}-labels.idx1-ubyte")
            if images and labels and split not in found:
                found[split] = Idx(Stored(images), Stored(labels))
    return found


def _first(folder: Path, *names: str) -> Path | None:
    paths = (folder / f"{name}{ending}" for name in names for ending in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def is_fashion(path: Path, files: Mapping[Split, Idx]) -> bool:
    """Whether files with MNIST's names are Fashion-MNIST's: by a folder's name, or by their first labels."""
    if any("fashion" in str(one.images.path).lower() for one in files.values()) or "fashion" in path.name.lower():
        return True
    if "test" not in files:
        return False
    try:
        first = read_idx(files["test"].labels, 1)[: len(FASHION_FIRST)]
    except DataError:
        return False
    return tuple(np.asarray(first).tolist()) == FASHION_FIRST


def held_out(count: int, part: float) -> tuple[list[int], list[int]]:
    """Return the numbers of the images of train and of val, chosen by the hash of the number."""
    names = [f"{k:05d}" for k in range(count)]
    chosen = hold_out(names, part) if part and count > 1 else set()
    return [k for k in range(count) if names[k] not in chosen], [k for k in range(count) if names[k] in chosen]
