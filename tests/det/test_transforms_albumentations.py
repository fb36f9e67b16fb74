"""The bridge to Albumentations; most of it is tried where that library is installed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.pipeline import apply_transform
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.errors import ConfigError, SetupError
from vf.recipes import from_text
from vf.testing import check_transform
from vf_det.transform_configs import Albumentations

FLIP = {"type": "HorizontalFlip", "p": 1.0}
CUT = {"type": "RandomCrop", "height": 30, "width": 40}


def sample(*, objects: int = 2) -> Sample:
    """Two coloured squares with boxes, masks and one keypoint each."""
    boxes = torch.tensor([[4.0, 6, 20, 26], [30, 12, 56, 36]])[:objects]
    image = torch.full((3, 40, 60), 80, dtype=torch.uint8)
    masks = torch.zeros(objects, 40, 60, dtype=torch.bool)
    for k, (x1, y1, x2, y2) in enumerate(boxes.long().tolist()):
        image[:, y1:y2, x1:x2] = 0
        image[k, y1:y2, x1:x2] = 250
        masks[k, y1:y2, x1:x2] = True
    target = {
        "boxes": tv_tensors.BoundingBoxes(boxes.reshape(-1, 4), format="XYXY", canvas_size=(40, 60)),
        "labels": torch.arange(objects),
        "area": torch.tensor([320.0, 624.0])[:objects],
        "masks": tv_tensors.Mask(masks),
        "keypoints": tv_tensors.KeyPoints(boxes[:, None, :2] + 5, canvas_size=(40, 60)),
        "visible": torch.full((objects, 1), 2),
        "image_id": 7,
    }
    return Sample(tv_tensors.Image(image), target, "s")


def changed(*transforms: dict[str, Any], seed: int = 0, objects: int = 2) -> Sample:
    config = Albumentations(transforms=transforms)
    with seeded(seed):
        return apply_transform(config.build(), sample(objects=objects), sample, final=False)


def test_where_it_is_not_installed_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(SetupError) as error:
        Albumentations(transforms=(FLIP,)).build()
    assert error.value.problems == ("augment: albumentations is not installed; pip install albumentations",)


def test_where_a_part_of_it_is_missing_that_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "albumentations.py").write_text("import no_such_part")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "albumentations", raising=False)
    with pytest.raises(SetupError) as error:
        Albumentations(transforms=(FLIP,)).build()
    assert error.value.problems == (
        "augment: albumentations cannot be imported (No module named 'no_such_part'); pip install albumentations",
    )


def test_its_keys_come_from_a_recipe_as_they_are() -> None:
    text = """
task: det
data: {name: shapes}
model: {name: yolox}
train: {length: 1 steps, batch_size: 2, optimizer: {name: sgd, lr: 0.1}}
augment: [{name: albumentations, transforms: [{type: OneOf, transforms: [{type: Blur, blur_limit: [3, 5]}]}]}]
"""
    resolved = from_text(text, "f")
    (config,) = resolved.recipe.augment
    assert config == Albumentations(
        transforms=({"type": "OneOf", "transforms": [{"type": "Blur", "blur_limit": [3, 5]}]},)
    )
    assert from_text(resolved.yaml(), "g").recipe == resolved.recipe


class TestInstalled:
    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
        pytest.importorskip("albumentations")

    def test_a_flip_moves_everything(self) -> None:
        flipped = changed(FLIP)
        expected = torch.tensor([[40.0, 6, 56, 26], [4, 12, 30, 36]])
        torch.testing.assert_close(flipped.target["boxes"].as_subclass(Tensor), expected, atol=1e-4, rtol=0)
        assert torch.equal(flipped.target["masks"].as_subclass(Tensor), sample().target["masks"].flip(-1))
        torch.testing.assert_close(flipped.target["area"], torch.tensor([320.0, 624.0]))
        assert flipped.target["image_id"] == 7
        for label, points in zip(flipped.target["labels"], flipped.target["keypoints"].long().tolist(), strict=True):
            x, y = points[0]
            assert flipped.image[:, y, x].argmax() == label

    def test_a_crop_drops_rows_and_hides_keypoints(self) -> None:
        counts = set()
        for seed in range(30):
            cut = changed({"type": "RandomCrop", "height": 16, "width": 20}, seed=seed)
            rows = {len(value) for key, value in cut.target.items() if key != "image_id"}
            assert len(rows) == 1
            counts |= rows
            assert cut.image.shape == (3, 16, 20)
            for box, mask in zip(cut.target["boxes"].as_subclass(Tensor), cut.target["masks"], strict=True):
                ys, xs = mask.as_subclass(Tensor).nonzero().unbind(1)
                edges = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                assert (edges - box).abs().max() <= 1
            seen = cut.target["visible"] == 2
            points = cut.target["keypoints"].as_subclass(Tensor)[seen]
            assert ((points >= 0) & (points < torch.tensor([20.0, 16.0]))).all()
        assert counts == {0, 1, 2}

    def test_the_same_seed_gives_the_same_bits_and_others_do_not(self) -> None:
        one, other, third = (changed(CUT, {"type": "GaussNoise", "p": 1.0}, seed=seed) for seed in (3, 3, 4))
        assert torch.equal(one.image, other.image)
        assert torch.equal(one.target["boxes"], other.target["boxes"])
        assert not torch.equal(one.image, third.image)

    def test_contract_and_images_without_objects(self) -> None:
        check_transform(Albumentations(transforms=(FLIP, CUT)), sample())
        empty = changed(FLIP, CUT, objects=0)
        assert empty.target["boxes"].shape == (0, 4)
        assert empty.target["masks"].shape == (0, 30, 40)
        assert empty.target["keypoints"].shape == (0, 1, 2)

    @pytest.mark.parametrize(
        ("spec", "sentence"),
        [
            ({"p": 1}, "expected a mapping with the key 'type' (a class of albumentations), got {'p': 1}"),
            ({"type": "HorizontalFlop"}, "has no 'HorizontalFlop'; did you mean 'HorizontalFlip'?"),
            ({"type": "RandomCrop"}, "RandomCrop: "),
        ],
    )
    def test_mistakes(self, spec: dict[str, Any], sentence: str) -> None:
        with pytest.raises(ConfigError) as error:
            changed({"type": "OneOf", "transforms": [spec]})
        assert error.value.problems[0].startswith("augment: albumentations.transforms[0].transforms[0]: ")
        assert sentence in error.value.problems[0]
        assert "\n" not in error.value.problems[0]
