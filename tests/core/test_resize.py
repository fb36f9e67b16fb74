"""Keep-ratio image rules: sizes, targets, scales by chance, padding after normalisation, torchvision's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchvision import tv_tensors
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Sample
from vf.data.seeding import seeded
from vf.nn.resize import KeepRatio, fitted_size
from vf.resizing import Resize
from vf.testing import check_config

PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def grey(height: int, width: int, **target: Any) -> Sample:
    return Sample(tv_tensors.Image(torch.full((3, height, width), 7, dtype=torch.uint8)), target, "a")


def test_the_config_explains_itself() -> None:
    check_config(Resize, "resize")
    rules = Resize(short=60, train_short=(40, 50), long=100, divisor=16, pad=(128, 64), bgr=True).build()
    assert (rules.short, rules.long, rules.train_short, rules.divisor, rules.pad, rules.bgr) == (
        60,
        100,
        (40, 50),
        16,
        (128, 64),
        True,
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((480, 640), (800, 1067)),  # 1066.67
        ((640, 480), (1067, 800)),
        ((427, 640), (800, 1199)),  # 1199.06
        ((300, 500), (800, 1333)),  # 1333.33
        ((300, 501), (798, 1333)),  # the long side binds: 798.2
        ((500, 500), (800, 800)),
        ((800, 1333), (800, 1333)),
        ((1600, 2000), (800, 1000)),
        ((10, 5000), (3, 1333)),  # 2.67
        ((1, 5000), (1, 1333)),  # never empty
        ((1600, 2001), (800, 1001)),  # 1000.5: halves go up
    ],
)
def test_sizes(given: tuple[int, int], expected: tuple[int, int]) -> None:
    assert fitted_size(given, short=800, long=1333) == expected
    assert KeepRatio().fit(grey(*given), with_target=False).size == expected


def test_boxes_masks_and_keypoints_follow_where_asked() -> None:
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[10.0, 20, 30, 40]]), format="XYXY", canvas_size=(100, 200))  # type: ignore[call-overload]
    points = tv_tensors.KeyPoints(torch.tensor([[[10.0, 20], [30, 40]]]), canvas_size=(100, 200))  # type: ignore[call-overload]
    mask = torch.zeros(1, 100, 200, dtype=torch.bool)
    mask[:, 20:40, 10:30] = True
    given = grey(100, 200, boxes=boxes, keypoints=points, masks=tv_tensors.Mask(mask), labels=torch.tensor([3]))
    rules = KeepRatio(short=50, long=1000)
    fitted = rules.fit(given, with_target=True)
    assert fitted.size == (50, 100)
    assert fitted.target["boxes"].tolist() == [[5, 10, 15, 20]]
    assert fitted.target["keypoints"].tolist() == [[[5, 10], [15, 20]]]
    assert fitted.target["masks"].shape == (1, 50, 100)
    assert fitted.target["masks"].nonzero().aminmax(dim=0)[0].tolist() == [0, 10, 5]
    assert fitted.target["masks"].sum() == 100
    assert fitted.target["labels"].tolist() == [3]
    alone = rules.fit(given, with_target=False)
    assert alone.size == (50, 100)
    assert alone.target is given.target


def test_no_objects_are_no_objects() -> None:
    boxes = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYXY", canvas_size=(10, 20))  # type: ignore[call-overload]
    masks = tv_tensors.Mask(torch.zeros(0, 10, 20, dtype=torch.bool))
    fitted = KeepRatio(short=5, long=50).fit(grey(10, 20, boxes=boxes, masks=masks), with_target=True)
    assert fitted.target["boxes"].shape == (0, 4)
    assert fitted.target["masks"].shape == (0, 5, 10)


def test_a_scale_is_drawn_in_training_and_is_a_function_of_the_seed() -> None:
    rules = KeepRatio(short=30, long=1000, train_short=(10, 20))

    def drawn(seed: int) -> int:
        with seeded(seed, 0, 0):
            return rules.fit(grey(40, 40), with_target=True).size[0]

    assert {drawn(seed) for seed in range(20)} == {10, 20}
    assert [drawn(seed) for seed in range(5)] == [drawn(seed) for seed in range(5)]
    assert rules.fit(grey(40, 40), with_target=False).size == (30, 30)


def test_padding_is_zero_after_normalisation() -> None:
    rules = KeepRatio(divisor=4, mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    images = torch.full((2, 3, 3, 5), 9, dtype=torch.uint8)
    out = rules(images, torch.tensor([[3, 2], [1, 5]]))
    assert out.dtype == torch.float32
    assert out.shape == (2, 3, 4, 8)
    assert out[0, :, 0, 0].tolist() == [8.0, 3.5, 1.5]
    assert [out[n].count_nonzero().item() for n in range(2)] == [3 * 3 * 2, 3 * 1 * 5]
    assert out[0, :, :3, :2].count_nonzero() == 18
    assert out[1, :, :1, :5].count_nonzero() == 15
    assert (images == 9).all(), "what came in is not written to"


def test_a_fixed_size_in_training_lies_as_the_batch_does() -> None:
    rules = KeepRatio(divisor=4, pad=(16, 10), **PLAIN)
    whole = torch.tensor([[8, 12]])
    assert rules(torch.ones(1, 3, 8, 12, dtype=torch.uint8), whole).shape[-2:] == (12, 16), "10 is no multiple of 4"
    assert rules(torch.ones(1, 3, 12, 8, dtype=torch.uint8), whole.flip(1)).shape[-2:] == (16, 12)
    assert rules(torch.ones(1, 3, 12, 12, dtype=torch.uint8), torch.tensor([[12, 12]])).shape[-2:] == (16, 12)
    assert rules(torch.ones(1, 3, 8, 20, dtype=torch.uint8), torch.tensor([[8, 20]])).shape[-2:] == (12, 20)
    assert rules.eval()(torch.ones(1, 3, 8, 12, dtype=torch.uint8), whole).shape[-2:] == (8, 12)


def test_blue_comes_first_where_the_network_eats_it_so() -> None:
    image = torch.tensor([[[[1]], [[2]], [[3]]]], dtype=torch.uint8)
    out = KeepRatio(divisor=1, bgr=True, mean=(1.0, 1.0, 1.0), std=(1.0, 1.0, 1.0))(image, torch.ones(1, 2))
    assert out.flatten().tolist() == [2.0, 1.0, 0.0]


def test_a_batch_has_the_numbers_of_torchvision() -> None:
    torch.manual_seed(0)
    images = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((33, 50), (40, 47), (1, 1))]
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    theirs = GeneralizedRCNNTransform(800, 1333, list(mean), list(std), _skip_resize=True)  # type: ignore[arg-type]
    expected = theirs([image / 255 for image in images])[0].tensors
    batch = Collate(fill=114)(
        [Fitted(Sample(tv_tensors.Image(i), {}, str(n)), i.shape[-2:]) for n, i in enumerate(images)]
    )  # type: ignore[arg-type]
    rules = KeepRatio()
    found = rules(batch.images, batch.sizes)  # type: ignore[union-attr]
    assert found.shape == (3, 3, 64, 64)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Resize(short=900, long=800), "short 900 > long 800"),
        (lambda: Resize(train_short=(1400,)), "short 1400 > long 1333"),
        (lambda: Resize(pad=(1024, 1600)), "must be the long side, then the short one, got [1024, 1600]"),
        (lambda: Resize(pad=(1600, 640)), "pad [1600, 640] is smaller than long 1333 and short 800"),
        (lambda: Resize(std=(1.0, 0.0, 1.0)), "must be > 0, got 0.0"),
    ],
)
def test_what_cannot_be(build: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        build()
    assert str(error.value) == sentence
