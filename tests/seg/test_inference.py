"""Class maps: rows, windows, several views, sizes, memory."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.backbones import ResNet
from vf.errors import ConfigError
from vf.protocols import DatasetInfo
from vf.testing import check_config
from vf_seg.image_configs import Resize
from vf_seg.inference.rows import resized, resized_rows, sources
from vf_seg.inference.segment import segment
from vf_seg.inference.views import View, bands, class_map, window_starts
from vf_seg.inference_configs import SegInference, Slide, Whole
from vf_seg.model_configs import FCN, SegFormer
from vf_seg.testing import INFO, seg_batch

CPU = torch.device("cpu")


@pytest.fixture
def seeded() -> None:
    torch.manual_seed(0)


def shrunk(classes: int = 4, factor: int = 8) -> Any:
    """A made-up network: mean colours of cells, mixed to ``classes`` logits, and of a padded part."""
    torch.manual_seed(0)
    mix = nn.Conv2d(3, classes, 3, padding=1)

    @torch.no_grad()
    def logits(images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        height, width = images.shape[-2:]
        padded = -(-height // factor) * factor, -(-width // factor) * factor
        x = F.pad(images / 255, (0, padded[1] - width, 0, padded[0] - height))
        return mix(F.avg_pool2d(x, factor)), padded

    return logits


def noise(*size: int, count: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", SegInference.choices())
def test_configs_explain_themselves(name: str) -> None:
    check_config(SegInference.choices()[name], name)


@pytest.mark.parametrize(("of", "to"), [((7, 9), (20, 31)), ((20, 31), (7, 9)), ((5, 5), (5, 8)), ((1, 1), (4, 4))])
def test_rows_are_torchs(of: tuple[int, int], to: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *of)
    theirs = F.interpolate(x, size=to, mode="bilinear")
    for start in range(0, to[0], 3):
        stop = min(start + 3, to[0])
        rows = sources(start, stop, of=of[0], to=to[0], device=CPU)
        part = x[:, :, rows.first : rows.stop]
        torch.testing.assert_close(resized_rows(part, rows, width=to[1]), theirs[:, :, start:stop])


def test_images_are_resized_in_parts() -> None:
    images = noise(33, 20)
    theirs = F.interpolate(images.float(), size=(50, 31), mode="bilinear").round()
    assert (resized(images, (50, 31), rows=7) - theirs).abs().max() <= 1
    assert torch.equal(resized(images, (50, 31), rows=7), resized(images, (50, 31), rows=1000))


@pytest.mark.parametrize(
    ("length", "crop", "stride", "starts"),
    [
        (10, 10, 3, [0]),
        (8, 10, 3, [0]),
        (11, 10, 3, [0, 1]),
        (16, 10, 3, [0, 3, 6]),
        (2048, 1024, 683, [0, 683, 1024]),
        (1024, 512, 341, [0, 341, 512]),
        (1025, 512, 512, [0, 512, 513]),
    ],
)
def test_windows_cover_a_side(length: int, crop: int, stride: int, starts: list[int]) -> None:
    assert window_starts(length, crop, stride) == starts


def test_bands_cover_a_height() -> None:
    assert list(bands(7, 3)) == [(0, 3), (3, 6), (6, 7)]
    assert list(bands(2, 0)) == [(0, 1), (1, 2)]
    assert [class_map(n) for n in (2, 255, 256)] == [torch.uint8, torch.uint8, torch.int16]


@pytest.mark.parametrize("mirrored", [False, True])
def test_windows_are_averaged(mirrored: bool) -> None:
    """Against sums and counts over the whole image, as the definition says."""
    logits, images = shrunk(), noise(50, 70)
    crop, stride = (32, 40), (20, 24)
    seen = images.flip(-1) if mirrored else images
    total, count = torch.zeros(1, 4, 50, 70), torch.zeros(50, 70)
    for top in window_starts(50, 32, 20):
        for left in window_starts(70, 40, 24):
            small, padded = logits(seen[:, :, top : top + 32, left : left + 40])
            full = F.interpolate(small, size=padded, mode="bilinear")[:, :, :32, :40]
            total[:, :, top : top + 32, left : left + 40] += full
            count[top : top + 32, left : left + 40] += 1
    if mirrored:
        total, count = total.flip(-1), count.flip(-1)
    view = View(logits, images, crop=crop, stride=stride, mirrored=mirrored)
    found = torch.cat([view.rows(a, b, (50, 70)) for a, b in bands(50, 7)], 2)
    torch.testing.assert_close(found, total / count)
    other = F.interpolate(total / count, size=(33, 90), mode="bilinear")
    view = View(logits, images, crop=crop, stride=stride, mirrored=mirrored)
    torch.testing.assert_close(torch.cat([view.rows(a, b, (33, 90)) for a, b in bands(33, 5)], 2), other)


@pytest.mark.parametrize("size", [(48, 64), (30, 41), (100, 90)])
@pytest.mark.parametrize("crop", [(48, 64), (500, 500)])
def test_one_window_is_the_whole_image_bit_for_bit(size: tuple[int, int], crop: tuple[int, int]) -> None:
    logits, images = shrunk(), noise(48, 64, count=2)
    whole = segment([View(logits, images)], size, classes=4, probabilities=True)
    slid = segment([View(logits, images, crop=crop, stride=(13, 17))], size, classes=4, probabilities=True)
    for one, other in zip(whole, slid, strict=True):
        assert torch.equal(one["semantic"], other["semantic"])
        assert torch.equal(one["semantic_probabilities"], other["semantic_probabilities"])


@pytest.mark.usefixtures("seeded")
def test_one_window_of_a_network_is_the_whole_image_bit_for_bit() -> None:
    config = FCN(backbone=ResNet(depth=18, dilate=8, out=(3, 4)), width=32)
    batches = seg_batch(config.build(INFO).preprocess, sizes=[(64, 96), (40, 50)], training=False)  # type: ignore[arg-type]
    found = []
    for inference in (Whole(probabilities=True), Slide(crop=(64, 96), stride=(20, 30), probabilities=True)):
        torch.manual_seed(0)
        model = attrs.evolve(config, inference=inference).build(INFO).eval()
        found.append(model(batches))
    for whole, slid in zip(*found, strict=True):
        assert torch.equal(whole["semantic"], slid["semantic"])
        assert torch.equal(whole["semantic_probabilities"], slid["semantic_probabilities"])


def test_bands_leave_no_seam() -> None:
    logits, images = shrunk(), noise(50, 70)
    for size in ((50, 70), (111, 64)):
        found = [
            segment(
                [View(logits, images, crop=(32, 40), stride=(20, 24))], size, classes=4, probabilities=True, band=band
            )[0]["semantic_probabilities"]
            for band in (1, 10_000, 10**9)
        ]
        torch.testing.assert_close(found[0], found[2])
        torch.testing.assert_close(found[1], found[2])


@pytest.mark.usefixtures("seeded")
def test_predictions_have_the_size_as_decoded_and_probabilities_on_request() -> None:
    config = SegFormer(resize=Resize(short=48, long=64), inference=Whole(probabilities=True), width=32)
    model: Any = config.build(INFO).eval()
    batch = seg_batch(model.preprocess, sizes=[(80, 100), (33, 200)], training=False)
    assert batch.sizes.tolist() == [[48, 60], [11, 64]]
    for prediction, size in zip(model(batch), [(80, 100), (33, 200)], strict=True):
        shares = prediction["semantic_probabilities"]
        assert prediction["semantic"].shape == size
        assert shares.shape == (3, *size)
        torch.testing.assert_close(shares.sum(0), torch.ones(size))
        assert torch.equal(shares.argmax(0).to(torch.uint8), prediction["semantic"])


@pytest.mark.usefixtures("seeded")
def test_it_is_the_argmax_of_logits_resized_twice() -> None:
    model: Any = SegFormer(resize=Resize(short=48, long=64), width=32).build(INFO).eval()
    batch = seg_batch(model.preprocess, sizes=[(80, 100)], training=False)
    with torch.no_grad():
        x = model.preprocess(batch.images, batch.sizes)
        full = F.interpolate(model.logits(x)[0], size=x.shape[-2:], mode="bilinear")
        expected = F.interpolate(full, size=(80, 100), mode="bilinear").argmax(1)
    assert (model(batch)[0]["semantic"] != expected[0]).float().mean() < 1e-3  # ties


@pytest.mark.usefixtures("seeded")
def test_views_are_averaged() -> None:
    model: Any = SegFormer(width=32, inference=Whole(probabilities=True)).build(INFO).eval()
    batch = seg_batch(model.preprocess, sizes=[(64, 96), (64, 64)], training=False)
    found = model.with_tta(scales=(0.5, 1.0), flip=True)(batch)
    with torch.no_grad():
        for index, size in enumerate([(64, 96), (64, 64)]):
            image = batch.images[index : index + 1, :, : size[0], : size[1]]
            total = torch.zeros(1, 3, *size)
            for factor in (0.5, 1.0):
                seen = resized(image, (round(size[0] * factor), round(size[1] * factor))) if factor != 1 else image
                for flip in (False, True):
                    part = seen.flip(-1) if flip else seen
                    small = model.logits(model.preprocess(part, torch.tensor([part.shape[-2:]])))[0]
                    full = F.interpolate(small, size=part.shape[-2:], mode="bilinear")
                    full = full.flip(-1) if flip else full
                    total += F.interpolate(full, size=size, mode="bilinear").softmax(1)
            torch.testing.assert_close(found[index]["semantic_probabilities"], total[0] / 4)
    alone = model.with_tta(scales=(1.0,), flip=False)(batch)
    assert torch.equal(alone[0]["semantic"], model(batch)[0]["semantic"])


@pytest.mark.usefixtures("seeded")
def test_views_begin_at_the_largest_scale_where_images_are_resized() -> None:
    model: Any = SegFormer(width=32, resize=Resize(short=32, long=64)).build(INFO).eval()
    tta = model.with_tta(scales=(1.0, 2.0), flip=False)
    batch = seg_batch(tta.preprocess, sizes=[(100, 100)], training=False)
    assert batch.sizes.tolist() == [[64, 64]]
    assert tta(batch)[0]["semantic"].shape == (100, 100)
    assert model.preprocess.short == 32


@pytest.mark.usefixtures("seeded")
def test_mistakes_are_one_line_each() -> None:
    model: Any = SegFormer(width=32).build(INFO)
    with pytest.raises(ConfigError, match=r"^tta: scales must be one or more numbers > 0, got \[0\.0\]$"):
        model.with_tta(scales=[0.0])
    with pytest.raises(
        ConfigError,
        match=r"^tta: merge: no option of segmenters, which average probabilities; leave it out$",
    ):
        model.with_tta(merge="wbf")
    with pytest.raises(
        ValueError, match=r"^stride \[65, 10\] > crop \[64, 64\] would leave pixels unseen; make it smaller$"
    ):
        Slide(crop=(64, 64), stride=(65, 10))
    with pytest.raises(ValueError, match=r"^long has no effect without short; set short or leave long out$"):
        Resize(long=3)
    with pytest.raises(ValueError, match=r"^short 9 > long 3$"):
        Resize(short=9, long=3)


RSS = """
import resource, sys, torch
from vf.data.sample import Batch
from vf.protocols import DatasetInfo
from vf_seg.inference_configs import Slide
from vf_seg.model_configs import SegFormer

torch.manual_seed(0)
classes = tuple(f"c{i}" for i in range(64))
info = DatasetInfo(classes=classes, task="seg", num_samples={}, fingerprint="")
model = SegFormer(width=32, inference=Slide(crop=(256, 256), stride=(171, 171))).build(info).eval()
height, width = map(int, sys.argv[1:])

def batch(*size):
    images, sizes = torch.zeros(1, 3, *size, dtype=torch.uint8), torch.tensor([size])
    return Batch(images=images, sizes=sizes, original=sizes, ids=("a",), targets={}, counts={})

model(batch(600, 600))  # what it takes at all
large = batch(height, width)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model(large)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


class Bytes(torch.utils._python_dispatch.TorchDispatchMode):
    """Largest float tensor that an operation gives, bytes: deterministic, whatever the allocator does."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                self.largest = max(self.largest, tensor.untyped_storage().nbytes())
        return out


def counted(height: int, width: int) -> int:
    """Bytes of the largest float tensor while an image of this size is segmented by windows of 64×64."""
    info = DatasetInfo(classes=tuple(f"c{i}" for i in range(20)), task="seg", num_samples={}, fingerprint="")
    torch.manual_seed(0)
    model: Any = SegFormer(width=32, inference=Slide(crop=(64, 64), stride=(43, 43))).build(info).eval()
    batch = seg_batch(model.preprocess, sizes=[(height, width)], training=False)
    images = batch.images
    with Bytes() as seen:
        views = [View(model._logits_of_part, images, crop=(64, 64), stride=(43, 43))]
        found = segment(views, (height, width), classes=20, probabilities=False, band=2**20)
    assert found[0]["semantic"].shape == (height, width)
    return seen.largest


def test_no_tensor_grows_with_the_image() -> None:
    """All logits of 640×640 would be 32 MB; a band of them is 1 MB, whatever the image."""
    assert counted(640, 640) <= max(counted(128, 128), 2**20)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_image() -> None:
    """Logits of 3000×3000 px and 64 classes are 2.3 GB, of 1500×1500 px 0.6 GB; MB taken beyond those of 600×600."""
    taken = [
        int(subprocess.run([sys.executable, "-c", RSS, *size], capture_output=True, text=True, check=True).stdout)
        / 1024
        for size in (("1500", "1500"), ("3000", "3000"))
    ]
    assert taken[1] < 150, taken
    assert taken[1] - taken[0] < 100, taken
