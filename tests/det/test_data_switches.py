"""What stays of a recipe's data where ``--data`` names another folder."""

from __future__ import annotations

import json
from pathlib import Path

from vf.recipes import resolve


def test_a_mask_model_reads_the_masks_of_any_folder(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    content: dict[str, list[object]] = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "annotations/instances_train2017.json").write_text(json.dumps(content))
    (tmp_path / "train2017").mkdir()
    data = resolve("det/mask_rcnn_r50_fpn_1x_coco", data=str(tmp_path)).plain()["data"]
    assert (data["name"], data["path"], data["masks"]) == ("coco", str(tmp_path), True)
    plain = resolve("det/faster_rcnn_r50_fpn_1x_coco", data=str(tmp_path)).plain()["data"]
    assert plain["masks"] is False
    changed = resolve("det/mask_rcnn_r50_fpn_1x_coco", data=str(tmp_path), overrides=["data.masks=false"])
    assert changed.plain()["data"]["masks"] is False


def test_keys_that_name_files_do_not_stay(tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations/a.xml").write_text("<annotation/>")
    (tmp_path / "JPEGImages").mkdir()
    data = resolve("det/mask_rcnn_r50_fpn_1x_cityscapes", data=str(tmp_path)).plain()["data"]
    assert (data["name"], data["path"]) == ("voc", str(tmp_path))
