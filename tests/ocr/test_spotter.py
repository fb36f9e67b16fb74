"""Find and read in one: crops by perspective, reading order, losses and predictions of pages."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import tv_tensors

import vf
from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.errors import DataError
from vf.testing import check_config
from vf_ocr.data.targets import page_target
from vf_ocr.recognition_configs import CRNN
from vf_ocr.spotter.model import Spotter, as_quads, first_of
from vf_ocr.spotter.order import reading_order
from vf_ocr.spotter.rectify import _sampled, grown, projective, rectified, side_lengths, turned
from vf_ocr.spotter_configs import Spotter as SpotterConfig
from vf_ocr.texts import Texts

INFO = vf.DatasetInfo(classes=tuple("abc"), task="ocr", num_samples={"train": 2}, fingerprint="0")


def quad(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def picture(height: int = 60, width: int = 90) -> Tensor:
    """Return smooth uint8 [1,3,H,W]."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 6, 9, generator=generator) * 255
    return nn.functional.interpolate(coarse, (height, width), mode="bilinear").to(torch.uint8)


def cut(image: Tensor, quads: Tensor, *, height: int, widths: list[int]) -> Tensor:
    return rectified(image, quads, [len(quads)], height=height, widths=widths, fill=7)


def test_an_upright_quad_of_whole_pixels_is_a_slice() -> None:
    image = picture()
    for source in (image, image.float()):  # by OpenCV, and by a grid
        crops = cut(source, torch.tensor([quad(10, 20, 32, 16)]), height=16, widths=[32])
        assert (crops[0].float() - image[0, :, 20:36, 10:42].float()).abs().max() <= 0.01


def test_a_turned_quad_is_a_turned_slice() -> None:
    image = picture()
    upright = torch.tensor([quad(10, 20, 16, 32)])
    crops = cut(image, turned(upright, 1), height=16, widths=[32])
    assert torch.equal(crops[0], torch.rot90(image[0, :, 20:52, 10:26], -1, (1, 2)))
    crops = cut(image, turned(upright, -1), height=16, widths=[32])
    assert torch.equal(crops[0], torch.rot90(image[0, :, 20:52, 10:26], 1, (1, 2)))


def test_corners_of_the_square_become_those_of_the_quad() -> None:
    quads = torch.tensor([[[3.0, 4], [50, 9], [45, 40], [8, 30]], quad(0, 0, 5, 7)])
    square = torch.tensor([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]], dtype=torch.float64)
    at = square @ projective(quads).transpose(1, 2)
    torch.testing.assert_close((at[..., :2] / at[..., 2:]).float(), quads)


def test_opencv_and_the_grid_cut_the_same_and_pad_the_rest() -> None:
    image = picture()
    quads = torch.tensor([[[13.0, 14], [60, 19], [55, 40], [8, 36]], [[-5.0, 5], [30, 2], [31, 20], [-4, 22]]])
    by_opencv = cut(image, quads, height=16, widths=[40, 24])
    by_grid = cut(image.float(), quads, height=16, widths=[40, 24])
    assert by_opencv.shape == by_grid.shape == (2, 3, 16, 40)
    assert (by_opencv.float() - by_grid).abs().max() < 4
    assert (by_opencv.float() - by_grid).abs().mean() < 0.5
    assert (by_opencv[1, ..., 24:] == 7).all()
    assert (by_grid[1, ..., 24:] == 7).all()


def test_quads_go_to_their_images() -> None:
    images = torch.stack([torch.full((3, 20, 20), value, dtype=torch.uint8) for value in (10, 20, 30)])
    quads = torch.tensor([quad(2, 2, 8, 8)] * 3)
    crops = rectified(images, quads, [1, 0, 2], height=8, widths=[8, 8, 8], fill=0)
    assert crops[:, 0, 0, 0].tolist() == [10, 30, 30]
    assert rectified(images, quads[:0], [0, 0, 0], height=8, widths=[], fill=0).shape[:3] == (0, 3, 8)


def test_sides_move_outwards() -> None:
    upright = torch.tensor([quad(10.0, 20, 30, 10)])
    moved = grown(upright, torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    torch.testing.assert_close(moved, torch.tensor([quad(9.0, 18, 34, 16)]))
    moved = grown(turned(upright, 1), torch.full((1, 4), 2.0))
    torch.testing.assert_close(moved, turned(torch.tensor([quad(8.0, 18, 34, 14)]), 1))


def test_quads_without_area_are_harmless() -> None:
    quads = torch.zeros(1, 4, 2)
    assert cut(picture(), quads, height=8, widths=[8]).shape == (1, 3, 8, 8)
    assert _sampled(picture()[0], quads, torch.tensor([8]), (8, 8), 0).isfinite().all()


def test_sides() -> None:
    widths, heights = side_lengths(torch.tensor([[[0.0, 0], [10, 0], [8, 4], [0, 3]]]))
    assert widths.item() == pytest.approx(10)
    assert heights.item() == pytest.approx(np.hypot(2, 4))


@pytest.mark.parametrize(
    ("quads", "order"),
    [
        ([], []),
        ([quad(50, 0, 30, 10), quad(0, 2, 30, 10)], [1, 0]),
        # two lines, the second word of the first a little lower than the first of it
        ([quad(0, 20, 30, 10), quad(40, 3, 30, 10), quad(0, 0, 30, 10), quad(40, 22, 30, 10)], [2, 1, 0, 3]),
        # a high word beside two lines of low ones: in the line of its middle
        ([quad(0, 0, 20, 10), quad(0, 30, 20, 10), quad(30, 0, 40, 40)], [0, 2, 1]),
    ],
)
def test_reading_order(quads: list[Any], order: list[int]) -> None:
    found = reading_order(np.array(quads, np.float32).reshape(-1, 4, 2))
    assert sorted(found.tolist()) == sorted(order)
    assert found.tolist()[:2] == order[:2]


def test_reading_order_of_lines_that_run_aslant() -> None:
    level = np.array([quad(0, 0, 40, 10), quad(60, 0, 40, 10), quad(120, 0, 40, 10), quad(0, 20, 40, 10)])
    for degrees in (-20, 20):
        cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        aslant = (level @ np.array([[cos, sin], [-sin, cos]])).astype(np.float32)
        assert reading_order(aslant[[3, 1, 0, 2]]).tolist() == [2, 1, 3, 0]


class Rules(nn.Module):
    """Images as they are."""

    pad_value = 0

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        return sample

    def forward(self, images: Tensor, sizes: Tensor) -> Tensor:
        return images.float()


class Finder(nn.Module):
    """Finds what it is told to, in px of decoded images."""

    def __init__(self, found: list[Tensor]) -> None:
        super().__init__()
        self.preprocess, self.found = Rules(), found
        self.weight = nn.Parameter(torch.ones(()))
        self.seen = 0

    def forward(self, batch: Batch) -> Any:
        self.seen = len(batch)
        if self.training:
            return {"loss_kernel": self.weight * 1.0}
        return [{"polygons": p, "scores": torch.linspace(0.5, 0.9, len(p))} for p in self.found]


def pages(*words: list[tuple[list[list[float]], str]]) -> Batch:
    fitted = []
    for number, page in enumerate(words):
        quads = torch.tensor([corners for corners, _ in page]).reshape(-1, 4, 2)
        texts = Texts(text for _, text in page)
        target = page_target(quads, texts, torch.tensor([t == "###" for t in texts], dtype=torch.bool), size=(60, 90))
        fitted.append(Fitted(Sample(tv_tensors.Image(picture()[0]), target, str(number)), (60, 90)))
    batch = Collate(fill=0)(fitted)
    assert isinstance(batch, Batch)
    return batch


def spotter(found: list[Tensor], **keys: Any) -> tuple[Spotter, Finder]:
    torch.manual_seed(0)
    finder = Finder(found)
    recogniser: Any = CRNN(body="resnet", channels=4, hidden=0).build(INFO)
    return Spotter(finder, recogniser, **keys), finder


PAGE = [(quad(5, 5, 40, 12), "ab"), (quad(5, 30, 40, 12), "###"), (quad(50, 30, 3, 2), "c")]


def test_trains_on_labelled_words_that_can_be_read() -> None:
    model, finder = spotter([], detect_part=0.5)
    batch = pages(PAGE, [(quad(5, 5, 60, 20), "cab")], [], [(quad(5, 5, 60, 20), "")])
    seen: list[Any] = []
    losses = model.recogniser.losses
    model.recogniser.losses = lambda images, texts: seen.append((images, texts)) or losses(images, texts)  # type: ignore
    out = model.train()(batch)
    assert set(out) == {"loss_kernel", "read_ctc"}
    assert finder.seen == 2  # of four pages
    [(images, texts)] = seen
    assert texts == ["ab", "cab"]  # ignored, tiny and empty ones teach nothing
    assert images.shape == (2, 3, 32, 128)
    sum(out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_pages_without_words_leave_no_parameter_without_a_gradient() -> None:
    model, _ = spotter([])
    out = model.train()(pages([], []))
    assert out["read_none"].item() == 0
    sum(out.values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_pages_without_texts_cannot_be_learnt() -> None:
    model, _ = spotter([])
    batch = pages(PAGE)
    batch.targets.pop("texts")
    with pytest.raises(DataError) as error:
        model.train()(batch)
    assert str(error.value) == (
        "data: a spotter learns from pages whose words are outlined and written down: data for detection with a "
        "charset; words alone are for ocr/crnn_custom"
    )


class Echo(nn.Module):
    """Reads a crop as the brightness of its left and right half, as indices."""

    def features(self, images: Tensor) -> Tensor:
        return images

    def logits(self, images: Tensor) -> Tensor:
        left, right = images[..., : images.shape[-1] // 2], images[..., images.shape[-1] // 2 :]
        logits = torch.full((len(images), 3, 4), -9.0)
        logits[:, 1, 3] = 0.0
        for column, half in ((0, left), (2, right)):
            index = (half.mean((1, 2, 3)) > 0).long()
            logits[torch.arange(len(images)), column, index] = 0.0
        return logits


def test_finds_reads_and_puts_in_order() -> None:
    found = torch.tensor([quad(5, 40, 40, 12), quad(5, 5, 40, 12)])
    model, _ = spotter([found, found[:0]], reads_labelled=True)
    model.recogniser = CRNN(size=(32, 96), ratio="stretch").build(INFO)  # type: ignore[assignment]
    model.recogniser.net = Echo()
    batch = pages([(quad(5, 5, 40, 12), "ab")], [])
    batch.images[0, :, 40:52, :25] = 255
    batch.images[0, :, 40:52, 25:] = 0
    batch.images[0, :, 5:17, :25] = 0
    batch.images[0, :, 5:17, 25:] = 255
    first, second = model.eval()(batch)
    assert first["polygons"].tolist() == found[[1, 0]].tolist()
    torch.testing.assert_close(first["scores"], torch.tensor([0.9, 0.5]))
    assert first["texts"] == ["ab", "ba"]  # dark is "a", bright is "b"
    assert first["text_scores"].shape == (2,)
    assert first["labelled_texts"] == ["ab"]
    assert second["texts"] == []
    assert second["labelled_texts"] == []
    assert second["text_scores"].shape == (0,)


def test_what_is_read_does_not_depend_on_the_scale_of_the_page() -> None:
    found = torch.tensor([quad(10, 10, 80, 24)])  # of the decoded image, twice as large
    model, _ = spotter([found])
    model.recogniser = CRNN(size=(32, 96), ratio="stretch").build(INFO)  # type: ignore[assignment]
    model.recogniser.net = Echo()
    batch = attrs.evolve(pages([]), original=torch.tensor([[120, 180]]))
    batch.images[0, :, 5:17, :25] = 0
    batch.images[0, :, 5:17, 25:] = 255
    [prediction] = model.eval()(batch)
    assert prediction["texts"] == ["ab"]
    assert prediction["polygons"].tolist() == found.tolist()


def test_tall_words_are_read_turned_both_ways_and_the_surest_counts() -> None:
    model, _ = spotter([torch.tensor([quad(5, 5, 10, 40), quad(40, 5, 30, 12)])])
    batch, asked = pages([]), []

    def read(crops: Tensor, widths: Any) -> list[tuple[str, float]]:
        asked.append(len(crops))
        return [("wide", 0.3), ("as is", 0.2), ("to the right", 0.1), ("to the left", 0.9)]

    model.recogniser.read = read  # type: ignore[method-assign, assignment]
    [prediction] = model.eval()(batch)
    assert asked == [4]
    assert prediction["texts"] == ["wide", "to the left"]


def test_polygons_are_cut_out_as_the_rectangles_around_them() -> None:
    curved = torch.tensor([[[0.0, 10], [20, 0], [40, 10], [40, 20], [20, 10], [0, 20]]])
    [corners] = as_quads(curved).tolist()
    assert np.array(corners) == pytest.approx(np.array(quad(0, 0, 40, 20)), abs=1e-4)
    assert as_quads(torch.zeros(0, 6, 2)).shape == (0, 4, 2)


def test_the_first_pages_of_a_batch() -> None:
    batch = pages(PAGE, [], PAGE[:1])
    part = first_of(batch, 0.4)
    assert part.ids == ("0",)
    assert part.targets["polygons"].shape == (3, 4, 2)
    assert part.counts["polygons"] == (3,)
    assert part.targets["texts"] == batch.targets["texts"][:1]
    assert first_of(batch, 1.0) is batch


def test_config_explains_itself() -> None:
    check_config(SpotterConfig, "spotter")
