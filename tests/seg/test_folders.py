"""Any pair of folders: values and colours that the recipe names, and what a check says of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from vf.data.storage import Folder
from vf.errors import ConfigError, DataError
from vf.recipes import resolve_data
from vf.testing import check_dataset
from vf_seg.data.scan import histogram, spread
from vf_seg.data.values import ByColour, ByValue
from vf_seg.data_configs import Camvid, Folders


@pytest.fixture
def root(layouts: Any) -> Path:
    """Two splits of two images; maps hold 0, 128 and, in b, 255; nothing names them."""
    path: Path = layouts.folders()
    (path / "classes.txt").unlink()
    return path


def told(config: Any) -> list[tuple[str, str]]:
    return [(finding.level, finding.text) for finding in config.check()]


def refused(config: Any, split: Any = None) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        config.info() if split is None else [config.build(split)[i] for i in range(2)]
    return caught.value.problems


def test_values(root: Path) -> None:
    config = Folders(path=str(root), mask_values={"0": "background", "128": "road"})
    check_dataset(config)
    info = config.info()
    assert (info.classes, info.category_ids, info.palette) == (("background", "road"), (0, 128), None)
    assert config.build("val")[1].target["semantic"][0, ::13].tolist() == [0, 1, 255, 255]
    assert config.build("val")[1].id == "images/val/b.jpg"
    assert told(config) == [
        ("note", "train: 2 images"),
        ("note", "train: values 0, 128, 255 of 2 maps read; 17.5 % of the pixels are ignored"),
        ("note", "val: 2 images"),
        ("note", "val: values 0, 128, 255 of 2 maps read; 17.5 % of the pixels are ignored"),
    ]


def test_values_of_one_name_are_one_class(root: Path) -> None:
    config = Folders(path=str(root), mask_values={"0": "ground", "255": "road", "128": "road"})
    assert config.info().classes == ("ground", "road")
    assert config.info().category_ids == (0, 128)
    assert set(np.unique(config.build("val")[1].target["semantic"])) == {0, 1}


def test_what_nobody_names(root: Path) -> None:
    config = Folders(path=str(root), mask_values={"0": "ground", "7": "boat"}, ignore=())
    where = root / "masks" / "train"
    assert told(config)[1:5] == [
        ("note", "train: values 0, 128, 255 of 2 maps read; 0.0 % of the pixels are ignored"),
        (
            "error",
            f"train: value 128 (990 pixels in 2 of 2 maps read), first in {where}/a.png: no class and no "
            "ignored value; name it in the recipe",
        ),
        (
            "error",
            f"train: value 255 (420 pixels in 1 of 2 maps read), first in {where}/b.png: no class and no "
            "ignored value; name it in the recipe",
        ),
        ("warning", "train: no pixel of 'boat' of 2 maps read"),
    ]
    assert refused(config, "train") == (f"{where}/a.png: holds 128, which no class and no ignored value is",)


def test_nothing_says_what_values_mean(root: Path) -> None:
    assert refused(Folders(path=str(root))) == (
        f"{root}: nothing says what the maps mean; they hold 0, 128, 255; set 'data.mask_values={{0: NAME, "
        "128: NAME}', data.mask_colours for colours, or write classes.txt",
    )
    with pytest.raises(DataError, match="nothing says what the maps mean"):
        resolve_data(str(root)).info()
    built = resolve_data(str(root), ["data.mask_values={0: ground, 128: road}"])
    assert built.info().classes == ("ground", "road")


def test_classes_txt(layouts: Any) -> None:
    root = layouts.folders()
    config = Folders(path=str(root))
    assert config.info().classes[128] == "class 128"
    assert set(np.unique(config.build("val")[0].target["semantic"])) == {0, 128}
    reduced = Folders(path=str(root), reduce_zero_label=True)
    assert set(np.unique(reduced.build("val")[0].target["semantic"])) == {127, 255}
    assert reduced.info().category_ids[0] == 1
    (root / "classes.txt").write_text("a\n\na\n")
    assert refused(Folders(path=str(root))) == (
        f"{root}/classes.txt: expected one name a line, each once; its values are 0, 1, 2 …",
    )


def test_colours(layouts: Any) -> None:
    for split in ("train", "val"):
        layouts.image(f"c/{split}/images/a.jpg")
        colours = np.zeros((30, 40, 3), np.uint8)
        colours[:, :10], colours[:, 10:20] = (128, 64, 128), (0, 0, 255)
        layouts.map(f"c/{split}/masks/a.png", colours)
    root = layouts.folder / "c"
    config = Folders(path=str(root), mask_colours={"128,64,128": "road", "0, 0,255": "car"}, ignore_colours=("0,0,0",))
    check_dataset(config)
    assert config.info().palette == ((128, 64, 128), (0, 0, 255))
    assert config.info().category_ids == (128 << 16 | 64 << 8 | 128, 255)
    assert config.build("val")[0].target["semantic"][3, ::10].tolist() == [0, 1, 255, 255]
    bare = Folders(path=str(root), mask_colours={"128,64,128": "road"})
    where = f"{root}/train/masks/a.png"
    assert refused(bare, "train") == (f'{where}: holds "0,0,0", "0,0,255", which no class and no ignored value is',)
    assert (
        "error",
        f'train: value "0,0,255" (300 pixels in 1 of 1 maps read), first in {where}: no class and no '
        "ignored value; name it in the recipe",
    ) in told(bare)
    values = Folders(path=str(root), mask_values={"0": "x"})
    assert refused(values, "train") == (
        f"{where}: expected one channel of values, got 3 channels of colours; name them with data.mask_colours",
    )


def test_colours_against_a_slow_reading() -> None:
    rng = np.random.default_rng(0)
    known = [(0, 0, 0), (255, 255, 255), (1, 2, 3), (3, 2, 1)]
    rule = ByColour({colour: k for k, colour in enumerate(known[:3])}, known[3:])
    pixels = np.array(known, np.uint8)[rng.integers(0, 4, (17, 23))]
    raw = rule.read(cv2.imencode(".png", pixels[..., ::-1])[1].tobytes(), "x")
    expected = [[[0, 1, 2, 255][known.index(tuple(p))] for p in row] for row in pixels.tolist()]
    assert rule.classes(raw).tolist() == expected


def test_kinds_of_files(layouts: Any) -> None:
    rule = ByValue({0: 0, 3: 1, 300: 2}, (255,))
    palette = layouts.map("p.png", [0, 3, 255], palette=True).read_bytes()
    assert np.unique(rule.classes(rule.read(palette, "p"))).tolist() == [0, 1, 255]
    wide = cv2.imencode(".png", np.array([[0, 3, 300, 255, 7]], np.uint16))[1].tobytes()
    assert rule.classes(rule.read(wide, "w")).tolist() == [[0, 1, 2, 255, 254]]
    grey = cv2.imencode(".png", np.full((2, 2, 3), 3, np.uint8))[1].tobytes()
    assert rule.classes(rule.read(grey, "g")).tolist() == [[1, 1], [1, 1]]
    tiff = cv2.imencode(".tif", np.full((2, 2), 3, np.uint8))[1].tobytes()
    assert rule.classes(rule.read(tiff, "t")).tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "x: is empty (0 bytes); expected a map of labels"),
        (
            b"\xff\xd8\xff\xe0",
            "x: is a JPEG or WebP, whose values are not those that were drawn; maps must be PNG, TIFF or BMP",
        ),
        (b"hello there", "x: is no map that can be read; its first bytes are b'hello th'"),
    ],
)
def test_files_that_are_no_maps(data: bytes, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        ByValue({}).read(data, "x")
    assert caught.value.problems == (sentence,)


def test_maps_that_are_cut_off(layouts: Any) -> None:
    data = layouts.map("p.png", [0, 3]).read_bytes()
    with pytest.raises(DataError, match=r"^x: is cut off: the PNG ends after 50 bytes without its end marker$"):
        ByValue({}).read(data[:50], "x")
    numbers = cv2.imencode(".tif", np.zeros((2, 2), np.float32))[1].tobytes()
    with pytest.raises(DataError, match=r"^x: expected whole numbers of 8 or 16 bits, got float32$"):
        ByValue({}).read(numbers, "x")
    palette = bytearray(layouts.map("q.png", [0, 3, 9], palette=True).read_bytes())
    palette[palette.index(b"IDAT") + 6] ^= 0xFF
    with pytest.raises(DataError, match=r"^x: is damaged: "):
        ByValue({}).read(bytes(palette), "x")


def test_sizes_that_differ(root: Path, layouts: Any) -> None:
    config = Folders(path=str(root), mask_values={"0": "ground", "128": "road"})
    layouts.map("folders/masks/val/a.png", np.zeros((30, 41), np.uint8))
    line = f"{root}/masks/val/a.png: is 30×41 (height × width), its image is 30×40"
    assert ("error", f"val: {line}") in told(config)
    assert refused(config, "val") == (line,)
    layouts.map("folders/masks/val/b.png", np.zeros((9, 41), np.uint8))
    assert ("error", f"val: {line} (and 1 maps more with such a fault)") in told(config)


def test_a_map_that_is_ignored_as_a_whole(root: Path, layouts: Any) -> None:
    where = layouts.map("folders/masks/val/a.png", [255])
    config = Folders(path=str(root), mask_values={"0": "ground", "128": "road"})
    assert ("warning", f"val: 1 of 2 maps read are ignored as a whole, the first {where}") in told(config)


def test_maps_without_an_image_are_left_out(root: Path, layouts: Any) -> None:
    where = layouts.map("folders/masks/train/z.png", [0])
    config = Folders(path=str(root), mask_values={"0": "ground", "128": "road"})
    assert config.info().notes == (f"train: left out 1 map without an image, the first {where}",)


def test_only_some_maps_are_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vf_seg.data.scan.MOST", 1)
    config = Folders(path=str(root), mask_values={"0": "ground", "128": "road", "9": "boat"})
    assert told(config)[1:3] == [
        ("note", "train: values 0, 128 of 1 maps read (of 2); 0.0 % of the pixels are ignored"),
        ("note", "train: no pixel of 'boat' of 1 maps read (of 2)"),
    ]
    assert (spread(3, 5), spread(10, 4), spread(0, 4)) == ([0, 1, 2], [0, 2, 5, 7], [])


def test_histograms() -> None:
    rng = np.random.default_rng(0)
    for dtype in (np.uint8, np.uint16, np.uint32):
        values = rng.integers(0, 200, (13, 17)).astype(dtype)
        expected = np.unique(values, return_counts=True)
        assert histogram(values) == list(zip(*(part.tolist() for part in expected), strict=True))


def test_folders_and_lists_that_are_named(layouts: Any) -> None:
    for stem in ("a", "b", "c"):
        layouts.image(f"x/pics/deep/{stem}_img.jpg")
        layouts.map(f"x/truth/deep/{stem}_label.png", [0, 1])
    root = layouts.folder / "x"
    keys: Any = {
        "path": str(root),
        "mask_values": {"0": "a", "1": "b"},
        "images": "pics",
        "masks": "truth",
        "image_suffix": "_img.jpg",
        "mask_suffix": "_label.png",
    }
    info = Folders(**keys).info()
    assert dict(info.num_samples) == {"train": 2, "val": 1}
    assert info.notes == ("there is no val split: 1 of 3 images are held out for it, chosen by hash",)
    assert dict(Folders(**keys).as_delivered().info().num_samples) == {"train": 3}
    (root / "lists").mkdir()
    (root / "lists" / "train.txt").write_text("deep/a\ndeep/c\n")
    (root / "lists" / "val.txt").write_text("deep/b\n")
    listed = Folders(**keys, lists="lists/{split}.txt")
    assert [listed.build("train")[i].id for i in range(2)] == ["pics/deep/a_img.jpg", "pics/deep/c_img.jpg"]
    with pytest.raises(DataError, match=r"^data.images and data.masks: both are needed, or neither$"):
        Folders(path=str(root), mask_values={"0": "a"}, images="pics").info()


def test_flat_folders_with_lists(layouts: Any) -> None:
    for stem in ("a", "b", "c"):
        layouts.image(f"f/images/{stem}.jpg")
        layouts.map(f"f/masks/{stem}.png", [0, 1])
    root = layouts.folder / "f"
    (root / "train.txt").write_text("a.jpg\nb.jpg\n")
    (root / "val.txt").write_text("c.jpg\n")
    config = resolve_data(str(root), ["data.mask_values={0: a, 1: b}"])
    assert dict(config.info().num_samples) == {"train": 2, "val": 1}


def test_a_zip(root: Path, layouts: Any) -> None:
    keys = {"0": "ground", "128": "road"}
    plain = Folders(path=str(root), mask_values=keys).build("val")[1]
    zipped = Folders(path=str(layouts.zipped(root, inner="x")), mask_values=keys)
    sample = zipped.build("val")[1]
    assert sample.id == plain.id
    assert np.array_equal(sample.target["semantic"], plain.target["semantic"])


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"mask_values": {"a": "x"}}, "must be values from 0 to 65535, got 'a'"),
        ({"mask_values": {"70000": "x"}}, "must be values from 0 to 65535, got '70000'"),
        (
            {"mask_colours": {"1,2": "x"}},
            "must be colours like \"128,64,128\" (red, green, blue from 0 to 255), got '1,2'",
        ),
        (
            {"mask_colours": {"1,2,300": "x"}},
            "must be colours like \"128,64,128\" (red, green, blue from 0 to 255), got '1,2,300'",
        ),
        (
            {"mask_values": {"0": "x"}, "mask_colours": {"0,0,0": "x"}},
            "mask_values and mask_colours: only one of them can be given",
        ),
        (
            {"mask_values": {"0": "x"}, "reduce_zero_label": True},
            "reduce_zero_label: belongs to classes.txt; with mask_values, say ignore: [0]",
        ),
        ({"mask_values": {"0": "x"}, "ignore": (0,)}, "ignore: 0 is also the class 'x'"),
    ],
)
def test_keys_that_are_wrong(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - compared below
        Folders(path="x", **keys)
    assert str(caught.value) == sentence


def test_more_classes_than_a_map_holds(root: Path) -> None:
    config = Folders(path=str(root), mask_values={str(k): f"c{k}" for k in range(255)})
    assert refused(config) == ("data.mask_values: names 255 classes; expected 1 to 254",)


def test_folders_of_other_kinds_are_not_taken(layouts: Any) -> None:
    root = layouts.folder / "yolo"
    layouts.image("yolo/images/train/a.jpg")
    (root / "labels" / "train").mkdir(parents=True)
    (root / "labels" / "train" / "a.txt").write_text("0 0.5 0.5 1 1\n")
    assert Folders.sniff(str(root)) is None
    assert Folders.sniff(str(layouts.folder / "nothing")) is None
    with pytest.raises(ConfigError, match="not recognised as any of"):
        resolve_data(str(layouts.image("lonely/x/a.txt.png").parent.parent), name="")


def test_pixels_of_each_class(layouts: Any) -> None:
    dataset: Any = Camvid(path=str(layouts.camvid())).build("val")
    counts = dataset.pixels()
    assert counts.shape == (2, 12)
    assert counts[0].tolist() == [300, 0, 0, 300, 0, 0, 0, 0, 300, 0, 0, 300]
    assert dataset.sizes().tolist() == [[30, 40], [30, 40]]
    storage, name = dataset.file_of(1)
    assert isinstance(storage, Folder)
    assert storage.where(name).endswith("camvid/val/0001TP_2.png")
