"""Test-time augmentation: views come back in the frame of the image, and merge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.ops import box_iou

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.engine.precision import make_precision
from vf.errors import ConfigError
from vf.nn.preprocess import Letterbox
from vf.nn.resize import KeepRatio
from vf.predict import Predictor
from vf.testing import INFO
from vf_det.masks import Masks
from vf_det.model_configs import YOLOX
from vf_det.tta import merge_by_mean, merge_by_nms, mirrored, mirrored_back, shrunk, with_tta


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """A tiny YOLOX with random weights that finds something everywhere."""
    torch.manual_seed(0)
    made = YOLOX(depth=0.33, width=0.125, size=(64, 96), score_threshold=0.0, max_detections=30).build(INFO)
    for bias in (b for name, b in made.named_parameters() if "head" in name and name.endswith("bias")):
        nn.init.uniform_(bias, -0.5, 0.5)
    return made.eval()


def batch_of(preprocess: Any, *images: Tensor) -> Batch:
    samples = [Sample(tv_tensors.Image(image), {}, str(i)) for i, image in enumerate(images)]
    batch = Collate(fill=114)([Fitted(preprocess.fit(s, with_target=False), s.size) for s in samples])
    assert isinstance(batch, Batch)
    return batch


def noise(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("merge", ["nms", "wbf"])
@torch.no_grad()
def test_one_view_is_the_plain_model(model: nn.Module, merge: Any) -> None:
    tta = with_tta(model, (1.0,), False, merge)
    batch = batch_of(tta.preprocess, noise(64, 96), noise(70, 50, 1))
    for plain, other in zip(model(batch), tta(batch), strict=True):
        assert all(torch.equal(plain[key], other[key]) for key in plain)


def mirror_images(prediction: Any, width: int) -> Tensor:
    """For each box, how much the mirror image of some box of its class overlaps it."""
    back = mirrored_back(prediction, width)
    overlap = box_iou(prediction["boxes"], back["boxes"])
    overlap[prediction["labels"][:, None] != back["labels"]] = 0
    return overlap.amax(1)


@pytest.mark.parametrize(("merge", "iou"), [("nms", 1.0), ("wbf", 0.999)])
@torch.no_grad()
def test_a_symmetric_image_gives_symmetric_boxes(model: nn.Module, merge: Any, iou: float) -> None:
    half = noise(64, 48)
    image = torch.cat([half, half.flip(-1)], -1)
    plain = with_tta(model, (1.0,), False)
    assert mirror_images(plain(batch_of(plain.preprocess, image))[0], 96).min() < 0.9, "a model alone is lopsided"
    tta = with_tta(model, (1.0,), True, merge, iou=iou, max_detections=1000)
    (found,) = tta(batch_of(tta.preprocess, image))
    assert len(found["boxes"]) > 20
    assert mirror_images(found, 96).min() > 0.999


@torch.no_grad()
def test_at_several_scales_everything_stays_in_the_image(model: nn.Module) -> None:
    tta = with_tta(model, (0.5, 1.0, 1.5), True, "wbf")
    assert tta.preprocess.size == (96, 160), "96 × 1.5 = 144 is no multiple of the stride"
    assert [p.size for p in tta.at_scale] == [(32, 64), (64, 96), (96, 160)]
    found = tta(batch_of(tta.preprocess, noise(90, 40), noise(33, 170, 1), noise(64, 96, 2)))
    assert [len(p["boxes"]) > 0 for p in found] == [True] * 3
    for prediction, (height, width) in zip(found, [(90, 40), (33, 170), (64, 96)], strict=True):
        boxes, scores = prediction["boxes"], prediction["scores"]
        assert ((boxes >= 0) & (boxes <= torch.tensor([width, height, width, height]))).all()
        assert ((scores >= 0) & (scores <= 1)).all()
        assert torch.equal(scores, scores.sort(descending=True).values)
        assert len(boxes) <= 30
    assert model.preprocess.size == (64, 96), "the model is left as it was"


@torch.no_grad()
def test_sizes_are_rounded_and_every_view_still_fits(model: nn.Module) -> None:
    tta = with_tta(model, (1.0, 1.1), False)
    assert [p.size for p in tta.at_scale] == [(64, 96), (96, 128)]
    assert len(tta(batch_of(tta.preprocess, noise(120, 120), noise(60, 170, 1)))) == 2


class Bright(nn.Module):
    """Finds the bounding box of what is brighter than 200."""

    def __init__(self, preprocess: nn.Module | None = None) -> None:
        super().__init__()
        self.preprocess = preprocess or Letterbox(size=(64, 64))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, batch: Batch) -> list[dict[str, Any]]:
        self.seen.append(tuple(self.preprocess(batch.images, batch.sizes).shape[-2:]))
        found = []
        for image, size, original in zip(batch.images, batch.sizes, batch.original, strict=True):
            ys, xs = (image[0] > 200).nonzero().unbind(1)
            box = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])[None].float()
            box *= (original / size).flip(0).repeat(2)
            mask = torch.zeros(1, *original.tolist(), dtype=torch.bool)
            x1, y1, x2, y2 = box[0].round().long().tolist()
            mask[:, y1:y2, x1:x2] = True
            labels = torch.zeros(1, dtype=torch.long)
            found.append(
                {"boxes": box, "scores": torch.tensor([0.5]), "labels": labels, "masks": Masks.from_dense(mask)}
            )
        return found


@pytest.mark.parametrize("merge", ["nms", "wbf"])
def test_every_view_comes_back_to_its_place(merge: Any) -> None:
    bright, images = Bright(), []
    for height, width in ((64, 48), (40, 64)):
        image = torch.zeros(3, height, width, dtype=torch.uint8)
        image[:, 8:24, 4:20] = 255
        images.append(image)
    tta = with_tta(bright, (0.5, 1.0, 2.0), True, merge)
    found = tta(batch_of(tta.preprocess, *images))
    assert bright.seen == [(32, 32), (32, 32), (64, 64), (64, 64), (128, 128), (128, 128)]
    for prediction in found:
        assert len(prediction["boxes"]) == 1
        assert (prediction["boxes"] - torch.tensor([[4.0, 8, 20, 24]])).abs().max() <= 1
        assert (prediction["masks"].dense()[0].nonzero().amin(0) - torch.tensor([8, 4])).abs().max() <= 1
        assert prediction["scores"].tolist() == [0.5]


def test_models_that_keep_the_ratio_are_scaled_too() -> None:
    image = torch.zeros(3, 64, 96, dtype=torch.uint8)
    image[:, 8:24, 4:20] = 255
    bright = Bright(KeepRatio(short=32, long=60))
    tta = with_tta(bright, (1.0, 2.0), True, "nms")
    (found,) = tta(batch_of(tta.preprocess, image))
    assert bright.seen == [(32, 64), (32, 64), (64, 96), (64, 96)]  # padded to multiples of 32
    assert (found["boxes"] - torch.tensor([[4.0, 8, 20, 24]])).abs().max() <= 1.5


def test_a_smaller_view_has_the_size_that_a_fit_would_give() -> None:
    batch = batch_of(Letterbox(size=(64, 64)), noise(64, 48), noise(40, 64, 1))
    small = shrunk(batch, 0.5, fill=114)
    assert small.sizes.tolist() == [[32, 24], [20, 32]]
    assert small.images.shape == (2, 3, 32, 32)
    assert small.images[0, :, :, 24:].unique().tolist() == [114]
    assert small.images[1, :, 20:].unique().tolist() == [114]


def test_padding_stays_where_it_is_when_an_image_is_mirrored() -> None:
    batch = batch_of(Letterbox(size=(64, 64)), noise(64, 48), noise(40, 64, 1))
    other = mirrored(batch)
    assert torch.equal(other.images[0, :, :, :48], batch.images[0, :, :, :48].flip(-1))
    assert torch.equal(other.images[0, :, :, 48:], batch.images[0, :, :, 48:])
    assert torch.equal(mirrored(other).images, batch.images)


def prediction(*rows: tuple[float, float, float, float, float, int]) -> dict[str, Tensor]:
    table = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return {"boxes": table[:, :4], "scores": table[:, 4], "labels": table[:, 5].long()}


def test_weighted_boxes_fusion_as_worked_out_by_hand() -> None:
    one = prediction((0, 0, 10, 10, 0.8, 0), (50, 50, 60, 60, 0.6, 1))
    other = prediction((0, 0, 10, 12, 0.4, 0), (0, 0, 10, 10, 0.9, 1))
    fused = merge_by_mean([one, other], iou=0.55, most=100)
    # Class 0: IoU 100/120; y2 = (10 · 0.8 + 12 · 0.4) / 1.2, score (0.8 + 0.4) / 2. The others have one view of two.
    torch.testing.assert_close(
        fused["boxes"], torch.tensor([[0, 0, 10, 32 / 3], [0, 0, 10, 10], [50, 50, 60, 60]]), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(fused["scores"], torch.tensor([0.6, 0.45, 0.3]))
    assert fused["labels"].tolist() == [0, 1, 1]


def test_a_view_that_finds_a_box_twice_counts_once() -> None:
    twice = prediction((0, 0, 10, 10, 0.8, 0), (0, 0, 10, 10, 0.6, 0), (0, 0, 10, 10, 0.4, 0))
    fused = merge_by_mean([twice, prediction()], iou=0.55, most=100)
    torch.testing.assert_close(fused["scores"], torch.tensor([0.6]))  # 3 boxes of 2 views: min(3, 2) / 2


def test_nms_keeps_the_best_of_each_class() -> None:
    one = prediction((0, 0, 10, 10, 0.8, 0), (0, 0, 10, 10, 0.3, 1))
    other = prediction((0, 0, 10, 11, 0.9, 0), (40, 40, 50, 50, 0.1, 0))
    kept = merge_by_nms([one, other], iou=0.5, most=2)
    torch.testing.assert_close(kept["scores"], torch.tensor([0.9, 0.3]))
    assert kept["labels"].tolist() == [0, 1]


@pytest.mark.parametrize("merge", [merge_by_mean, merge_by_nms])
def test_nothing_found_merges_to_nothing(merge: Any) -> None:
    merged = merge([prediction(), prediction()], iou=0.5, most=10)
    assert merged["boxes"].shape == (0, 4)
    assert merged["labels"].dtype == torch.int64


class Proposing(Bright):
    def forward(self, batch: Batch) -> list[dict[str, Any]]:
        proposals = {"proposals": torch.zeros(7, 4), "proposal_scores": torch.zeros(7)}
        return [{**prediction, **proposals} for prediction in super().forward(batch)]


def test_proposals_are_left_out() -> None:
    image = torch.zeros(3, 64, 64, dtype=torch.uint8)
    image[:, 8:24, 4:20] = 255
    tta = with_tta(Proposing(), (1.0,), True)
    (found,) = tta(batch_of(tta.preprocess, image))
    assert sorted(found) == ["boxes", "labels", "masks", "scores"]


class Panoptic(Bright):
    def forward(self, batch: Batch) -> list[dict[str, Any]]:
        return [{"panoptic": torch.zeros(4, 4), "boxes": torch.zeros(0, 4)} for _ in range(len(batch))]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: with_tta(Bright(), (), True), "tta: scales must be one or more numbers > 0, got []"),
        (lambda: with_tta(Bright(), (1.0, 0.0), True), "tta: scales must be one or more numbers > 0, got [1.0, 0.0]"),
        (lambda: with_tta(Bright(), (1.0,), True, "max"), "tta: merge must be 'nms' or 'wbf', got 'max'"),  # type: ignore[arg-type]
        (
            lambda: with_tta(Panoptic(), (1.0,), True)(batch_of(Letterbox(size=(8, 8)), noise(8, 8))),
            "tta: merges boxes, and this model gives panoptic maps; leave tta out",
        ),
    ],
)
def test_mistakes(call: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        call()
    assert error.value.problems == (sentence,)


def predictor(model: nn.Module) -> Predictor:
    resolved: Any = None  # only of interest where it came from a checkpoint
    return Predictor(model, resolved, INFO, make_precision("fp32", torch.device("cpu")))


def test_a_predictor_sees_an_image_in_several_ways(model: nn.Module) -> None:
    plain, seen = predictor(model), predictor(model).with_tta(scales=(1.0, 1.5), flip=True, merge="wbf", iou=0.6)
    image = noise(64, 96)
    batch = batch_of(seen.preprocess, image)
    wanted = with_tta(model, (1.0, 1.5), True, "wbf", iou=0.6)(batch)[0]
    found = seen(image).prediction
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)
    assert not torch.equal(found["boxes"], plain(image).prediction["boxes"])


def test_a_model_without_it_says_so() -> None:
    with pytest.raises(ConfigError) as error:
        predictor(Bright()).with_tta()
    assert error.value.problems == ("tta: Bright has no test-time augmentation; leave tta out",)
