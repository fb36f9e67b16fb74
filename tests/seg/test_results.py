"""Predicted maps as servers take them, and through the files of ``vf run test``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import vf
from vf.errors import DataError, RunError
from vf.predictions import Head, decode, encode
from vf.protocols import Predicted
from vf_seg.data import names
from vf_seg.data_configs import ADE20K, Cityscapes, Folders, LoveDA, Potsdam, Voc12
from vf_seg.metric_configs import MeanIoU
from vf_seg.results.maps import MapResults


def predicted(id_: str, row: list[int]) -> Predicted:
    semantic = torch.tensor([row, row], dtype=torch.uint8)
    return Predicted(id=id_, size=(2, len(row)), prediction={"semantic": semantic})


def written(config: Any, id_: str, row: list[int], folder: Path) -> tuple[str, Any]:
    info = config.info()
    assert config.results().write(iter([predicted(id_, row)]), str(folder), info) == [str(folder)]
    [path] = [p for p in folder.rglob("*") if p.is_file()]
    with Image.open(path) as image:
        return path.relative_to(folder).as_posix(), np.array(image)[1].tolist()


def test_cityscapes_takes_label_ids(layouts: Any, tmp_path: Path) -> None:
    config = Cityscapes(path=str(layouts.cityscapes()))
    name, row = written(config, "bonn/bonn_000000_000019_leftImg8bit.png", [0, 1, 13, 18], tmp_path / "out")
    assert name == "bonn_000000_000019_pred_labelIds.png"
    assert row == [7, 8, 26, 33]


def test_ade20k_takes_values_from_1(layouts: Any, tmp_path: Path) -> None:
    config = ADE20K(path=str(layouts.ade20k()))
    name, row = written(config, "testing/ADE_test_00000001.jpg", [0, 149], tmp_path / "out")
    assert (name, row) == ("ADE_test_00000001.png", [1, 150])


def test_loveda_takes_values_from_0(layouts: Any, tmp_path: Path) -> None:
    name, row = written(LoveDA(path=str(layouts.loveda())), "Test/Urban/4.png", [0, 6], tmp_path / "out")
    assert (name, row) == ("4.png", [0, 6])


def test_voc_takes_indices_with_its_palette(layouts: Any, tmp_path: Path) -> None:
    config = Voc12(path=str(layouts.voc12()))
    assert written(config, "2008_000001.jpg", [0, 20, 1], tmp_path / "out") == ("2008_000001.png", [0, 20, 1])
    with Image.open(tmp_path / "out" / "2008_000001.png") as image:
        assert image.mode == "P"
        assert (image.getpalette() or [])[60:63] == list(names.VOC_COLOURS[20])


def test_colours_and_values_of_ones_own(layouts: Any, tmp_path: Path) -> None:
    config = Potsdam(path=str(layouts.potsdam()))
    name, row = written(config, "img_dir/val/2_10_0_0.png", [0, 4], tmp_path / "one")
    assert (name, row) == ("img_dir/val/2_10_0_0.png", [[255, 255, 255], [255, 255, 0]])
    own = Folders(path=str(layouts.folders()), mask_values={"0": "ground", "128": "road"})
    assert written(own, "images/val/a.jpg", [1, 0], tmp_path / "two") == ("images/val/a.png", [128, 0])


def test_classes_that_the_data_does_not_know(tmp_path: Path) -> None:
    info = vf.DatasetInfo(classes=("a", "b"), task="seg", num_samples={}, fingerprint="", category_ids=(300, -1))
    MapResults().write(iter([predicted("x.png", [0, 1])]), str(tmp_path / "out"), info)
    assert cv2.imread(str(tmp_path / "out" / "x.png"), cv2.IMREAD_UNCHANGED)[0].tolist() == [300, 255]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    info = vf.DatasetInfo(classes=("a", "b"), task="seg", num_samples={}, fingerprint="")
    boxes = Predicted(id="x.png", size=(2, 2), prediction={"boxes": torch.zeros(0, 4), "scores": torch.zeros(0)})
    with pytest.raises(DataError) as caught:
        MapResults().write(iter([boxes]), str(tmp_path / "out"), info)
    assert str(caught.value) == (
        f"--out-prefix {tmp_path}/out: these are files of label maps, the model gives boxes, scores; use a model of "
        "task seg"
    )
    pair = [predicted("a/x.png", [0]), predicted("b/x.png", [0])]
    with pytest.raises(DataError) as caught:
        MapResults(flat=True).write(iter(pair), str(tmp_path / "two"), info)
    assert str(caught.value) == f"images 'a/x.png' and 'b/x.png' would both be written to {tmp_path}/two/x.png"
    with pytest.raises(RunError) as stopped:
        MapResults().write(iter(pair), str(tmp_path / "two"), info)
    assert str(stopped.value) == f"{tmp_path}/two: exists and is not empty; choose another --out-prefix"


def test_a_map_of_another_size_is_refused() -> None:
    results, map_ = MapResults(), torch.zeros(3, 4, dtype=torch.uint8)
    assert results.restore({"semantic": map_}, (3, 4)) == {"semantic": map_}
    with pytest.raises(DataError) as caught:
        results.restore({"semantic": map_}, (3, 5))
    assert str(caught.value) == "semantic: expected a map of the image, 3×5 (height × width), got 3×4"


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16])
def test_maps_survive_a_file(dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 19, (16, 32)).astype(np.uint8)
    labels = cv2.resize(small, (1024, 512), interpolation=cv2.INTER_NEAREST)
    found = torch.from_numpy(np.roll(labels, 9, 1)).to(dtype)
    info = vf.DatasetInfo(classes=names.CITYSCAPES, task="seg", num_samples={}, fingerprint="")
    keys, line = encode(Predicted(id="a.png", size=(512, 1024), prediction={"semantic": found}))
    assert len(line) < found.nbytes / 20  # zlib: blocks like these are small
    head = Head(info=info, split="val", images=1, keys=keys)
    head = Head.parse(json.loads(head.text() + "}"), "x")
    again = decode(json.load(io.StringIO(line)), head, "x", MapResults().restore)
    assert torch.equal(again.prediction["semantic"], found)
    numbers = []
    for prediction in ({"semantic": found}, again.prediction):
        metric = MeanIoU().build(info)
        metric.update([prediction], [{"id": "a.png", "semantic": labels}])
        numbers.append(metric.compute())
    assert numbers[0] == numbers[1]
