"""``vf convert``: every mistake is one line, which names the file or the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

RCNN = "det/faster_rcnn_r50_fpn_1x_coco"


@pytest.fixture
def tiny(tmp_path: Path) -> None:
    """A file of one tensor, and others that are none."""
    torch.save({"backbone.x": torch.zeros(2)}, tmp_path / "tiny.pth")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    torch.save([1], tmp_path / "list.pth")
    (tmp_path / "broken.pth").write_bytes(b"no torch file")
    (tmp_path / "there.safetensors").touch()


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("no.pth",), 2, "no.pth: no such file"),
        (
            ("empty.pth",),
            2,
            "empty.pth: holds no named tensors, alone or under state_dict, model, module, params; its keys are epoch",
        ),
        (("list.pth",), 2, "list.pth: expected a mapping of named tensors, got list"),
        (("tiny.pth", "o.safetensors"), 2, "OUT: belongs to --to RECIPE"),
        (("tiny.pth", "--classes", "x"), 2, "--classes: belongs to --to RECIPE"),
        (
            ("tiny.pth", "--to", RCNN),
            2,
            "--to: say whose weights these are: --from torchvision, mmdet, mmseg, mmpretrain, mmocr, yolox, timm or "
            "other",
        ),
        (("tiny.pth", "o.pth", "--from", "mmdet", "--to", RCNN), 2, "o.pth: expected a name that ends in .safetensors"),
        (
            ("tiny.pth", "there.safetensors", "--from", "mmdet", "--to", RCNN),
            2,
            "there.safetensors: exists; choose another name",
        ),
        (
            ("tiny.pth", "--from", "mmdet", "--to", RCNN),
            2,
            f"tiny.pth: holds no tensor of {RCNN}; look what it is: vf convert tiny.pth",
        ),
        (
            ("tiny.pth", "--from", "yolox", "--to", RCNN),
            2,
            f"--to {RCNN}: its model fasterrcnn knows no weights of yolox",
        ),
        (
            ("tiny.pth", "--from", "timm", "--to", RCNN),
            2,
            f"--to {RCNN}: its model fasterrcnn has another backbone; timm's weights go into timm's nets: --set "
            "'model.backbone={name: timm, net: NAME}'",
        ),
        (
            ("tiny.pth", "--from", "timm", "--to", "det/yolox_s_coco"),
            2,
            "--to det/yolox_s_coco: its model yolox knows no weights of timm",
        ),
        (
            ("tiny.pth", "--from", "mmdet", "--to", "ssd", "--classes", "no"),
            2,
            "--classes no: cannot be read: No such file or directory",
        ),
    ],
)
def test_mistakes_of_one_line(vf: Any, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    said = vf(*arguments)
    assert (said.code, said.err) == (code, f"error: {sentence}\n")


@pytest.mark.usefixtures("tiny")
def test_a_broken_file(vf: Any) -> None:
    said = vf("broken.pth")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("error: broken.pth: cannot be read: ")


@pytest.mark.usefixtures("tiny")
def test_a_model_that_no_recipe_of_which_fits(vf: Any) -> None:
    said = vf("tiny.pth", "--from", "yolox", "--to", "yolox")
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert said.err.startswith("error: --to yolox: tiny.pth fits none of its recipes; recipes with it: det/custom, ")
