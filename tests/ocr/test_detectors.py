"""The text detectors as the engine sees them: losses, outlines, image rules, weights of others, what users do wrong."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.ops import deform_conv2d

import vf.testing
import vf_ocr
from vf.backbones import ResNet
from vf.conversion import Order, convert
from vf.data.collate import Collate
from vf.data.pipeline import Fitted, TrainView, drop_empty_boxes
from vf.data.sample import Batch, Sample
from vf.data.sampler import Draw
from vf.errors import ConfigError, DataError
from vf.foreign import read_foreign
from vf.predict import Predictor
from vf.protocols import DatasetInfo
from vf_ocr.backbone_configs import Slim
from vf_ocr.detection.deformable import DeformableConv2d
from vf_ocr.detection_configs import DBNet, DBNetPP, PANet, PSENet, Sizing
from vf_ocr.generated_configs import Pages
from vf_ocr.texts import Texts
from vf_ocr.transform_configs import TextCrop

INFO = DatasetInfo(classes=("text",), task="ocr", num_samples={"train": 2}, fingerprint="0")
SMALL = Sizing(short=96, long=128, train_long=128)
CONFIGS: dict[str, Any] = {
    "dbnet": DBNet(neck_width=32, resize=SMALL),
    "dbnet at stride 4": DBNet(neck_width=32, resize=SMALL, stride=4),
    "dbnetpp": DBNetPP(neck_width=32, resize=SMALL, stride=2),
    "dbnet deformable": DBNet(backbone=ResNet(depth=50), neck_width=32, resize=SMALL, deformable=(2,), stride=4),
    "dbnet slim": DBNet(backbone=Slim(width=16), neck_width=32, resize=SMALL, stride=2),
    "psenet": PSENet(backbone=ResNet(depth=18), neck_width=32, hidden=32, resize=SMALL),
    "panet": PANet(neck_width=32, hidden=32, resize=SMALL, map_stride=4),
}
NAMES = pytest.mark.parametrize("name", list(CONFIGS))


def sample(words: int, size: tuple[int, int] = (90, 120), seed: int = 0) -> Sample:
    """A page of noise with words in rows, the last of which nobody can read."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.tensor([[10.0, 8 + 26.0 * i] for i in range(words)]).reshape(-1, 1, 2)
    polygons = corners + torch.tensor([[0.0, 0], [70, 0], [70, 20], [0, 20]])
    target = {
        "polygons": tv_tensors.KeyPoints(polygons, canvas_size=size),
        "boxes": tv_tensors.BoundingBoxes(
            torch.cat([polygons.amin(1), polygons.amax(1)], 1), format="XYXY", canvas_size=size
        ),
        "labels": torch.zeros(words, dtype=torch.int64),
        "ignored": torch.arange(words) == 2,
        "texts": Texts(["word"] * words),
    }
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator)
    return Sample(tv_tensors.Image(pixels), target, str(seed))


def batch(model: nn.Module, *words: int, with_target: bool = True) -> Batch:
    """As the loader makes it."""
    preprocess: Any = model.preprocess
    pages = [sample(count, seed=number) for number, count in enumerate(words)]
    fitted = [
        Fitted(drop_empty_boxes(preprocess.fit(page, with_target=with_target)), page.size, place=None) for page in pages
    ]
    made = Collate(fill=preprocess.pad_value)(fitted)
    assert isinstance(made, Batch)
    return made


def built(name: str) -> Any:
    torch.manual_seed(0)
    return CONFIGS[name].build(INFO)


def test_the_plugin_keeps_its_contract() -> None:
    vf.testing.check_plugin(vf_ocr)


@NAMES
def test_losses_are_finite_and_reach_every_parameter(name: str) -> None:
    model = built(name).train()
    for words in ((3, 1), (3, 0), (0, 0)):
        model.zero_grad()
        losses = model(batch(model, *words))
        assert all(value.ndim == 0 and bool(value.isfinite()) for value in losses.values()), losses
        sum(losses.values()).backward()
        grads = {n: p.grad for n, p in model.named_parameters()}
        assert not [n for n, g in grads.items() if g is None or not bool(g.isfinite().all())]


@NAMES
def test_maps_of_the_workers_are_those_that_the_model_would_make(name: str) -> None:
    model = built(name)
    given = batch(model, 3, 1)
    size = tuple(model.train().preprocess(given.images, given.sizes).shape[-2:])
    names = model.preprocess.maps.names
    assert set(names) < set(given.targets)
    bare = attrs.evolve(given, targets={k: v for k, v in given.targets.items() if k not in names})
    ours, made = model.preprocess.batch_maps(given, size), model.preprocess.batch_maps(bare, size)
    for key in names:
        assert ours[key].shape == (2, size[0] // model.preprocess.maps.stride, size[1] // model.preprocess.maps.stride)
        torch.testing.assert_close(ours[key], made[key])


@NAMES
def test_predictions_lie_in_the_frame_of_the_decoded_image(name: str) -> None:
    model = built(name).eval()
    maps = {"dbnet": 1, "dbnetpp": 1, "psenet": 7, "panet": 6}[name.split()[0]]
    given = batch(model, 3, 0, with_target=False)
    height, width = model.preprocess(given.images, given.sizes).shape[-2:]
    assert (height, width) == (96, 128)
    # The network sees 96×128 of 90×120, and says that a square is text.
    logits = torch.full((2, maps, height // model.stride, width // model.stride), -9.0)
    logits[0, :, 32 // model.stride : 64 // model.stride, 32 // model.stride : 96 // model.stride] = 9
    logits[:, 2:] = logits[:, 2:] if name == "psenet" else 0
    model.head.forward = lambda x: (logits, None) if maps == 1 else logits
    with torch.no_grad():
        first, second = model(given)
    assert second["polygons"].shape == (0, 4, 2)
    assert first["scores"].tolist() == [pytest.approx(1, abs=1e-3)]
    (quad,) = first["polygons"].numpy()
    middle = np.array([63.5 * 120 / 128, 47.5 * 90 / 96])
    assert np.abs(quad.mean(0) - middle).max() < 2
    assert first["polygons"].dtype == first["scores"].dtype == torch.float32


@NAMES
def test_a_copy_says_the_same_and_image_rules_can_travel(name: str) -> None:
    model = built(name).eval()
    given = batch(model, 2, 1, with_target=False)
    with torch.no_grad():
        first, second = model(given), copy.deepcopy(model)(given)
    for own, other in zip(first, second, strict=True):
        torch.testing.assert_close(own, other)
    other = pickle.loads(pickle.dumps(model.preprocess))
    page = sample(2)
    ours, theirs = (rules.fit(page, with_target=True).target for rules in (model.preprocess, other))
    for key in model.preprocess.maps.names:
        torch.testing.assert_close(ours[key], theirs[key])


def test_dbnet_learns_a_page_by_heart() -> None:
    torch.manual_seed(0)
    model: Any = DBNet(backbone=Slim(width=16), neck_width=32, resize=SMALL, stride=2).build(INFO).train()
    page = sample(2)
    for corners in page.target["polygons"].int().tolist():
        page.image[:, corners[0][1] : corners[2][1], corners[0][0] : corners[2][0]] //= 8
    fitted = model.preprocess.fit(page, with_target=True)
    given: Any = Collate(fill=0)([Fitted(fitted, page.size)] * 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    first = last = 0.0
    for step in range(31):
        loss = sum(model(given).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < first / 2
    with torch.no_grad():  # with the batch's own statistics
        shares = model.readable(model.output(model.preprocess(given.images, given.sizes)))
    found = model.reader(shares[0].numpy())
    scale = np.array([128 / 120, 96 / 90])
    assert len(found.scores) == 2
    wanted = page.target["polygons"].numpy() * scale
    assert np.abs(np.sort(found.polygons.mean(1), 0) - np.sort(wanted.mean(1), 0)).max() < 5


def test_training_sizes_images_by_their_long_side_and_pads_to_a_square() -> None:
    model = built("dbnet").train()
    page = sample(1, size=(50, 200))
    fitted = model.preprocess.fit(page, with_target=True)
    assert fitted.size == (32, 128)
    torch.testing.assert_close(fitted.target["polygons"].as_subclass(torch.Tensor), page.target["polygons"] * 0.64)
    given: Any = Collate(fill=0)([Fitted(fitted, page.size)])
    assert model.preprocess(given.images, given.sizes).shape == (1, 3, 128, 128)
    asis = DBNet(resize=attrs.evolve(SMALL, train_long=0)).build(INFO)
    assert asis.preprocess.fit(page, with_target=True).size == (50, 200)


def test_maps_are_made_on_the_workers_too_where_a_transform_decides_on_the_size() -> None:
    rules: Any = DBNet(resize=SMALL).build(INFO).preprocess
    crop = TextCrop(size=(96, 64)).build()
    view = TrainView(Pages(size=(128, 128), train=3).build("train"), [crop], rules, seed=0)
    for index in range(3):
        fitted = view[Draw(epoch=0, index=index, final=False)]
        assert isinstance(fitted, Fitted)
        target, size = fitted.sample.target, fitted.sample.size
        assert size == (96, 64)
        assert target["kernel_map"].shape == target["band_map"].shape == size
        torch.testing.assert_close(
            target["kernel_map"].as_subclass(torch.Tensor), rules.maps_of(target, size)["kernel_map"]
        )


def test_deformable_convolutions_begin_as_plain_ones_that_count_half() -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
    x = torch.randn(2, 4, 9, 11)
    torch.testing.assert_close(DeformableConv2d(plain)(x), plain(x) / 2)


def test_offsets_move_taps_and_the_rest_weighs_them() -> None:
    torch.manual_seed(0)
    conv = DeformableConv2d(nn.Conv2d(4, 6, 3, padding=1, bias=False))
    nn.init.normal_(conv.conv_offset.weight, std=0.1)
    x = torch.randn(2, 4, 9, 11)
    moves = conv.conv_offset(x)
    expected = deform_conv2d(x, moves[:, :18], conv.weight, padding=1, mask=moves[:, 18:].sigmoid())
    torch.testing.assert_close(conv(x), expected)


def test_names_of_mmocr_are_ours() -> None:
    for name, config in CONFIGS.items():
        weights = config.foreign_weights("mmocr")
        assert weights is not None
        assert config.foreign_weights("mmdet") is None, name
    names = {
        "dbnet": "det_head.binarize.0.weight det_head.threshold.6.bias neck.lateral_convs.3.conv.weight",
        "dbnetpp": "neck.asf_attn.channel_wise.1.conv.weight neck.asf_conv.conv.bias neck.smooth_convs.0.conv.weight",
        "psenet": "neck.fpn_convs.2.bn.running_var neck.output_convs.conv.weight det_head.conv2.bias",
        "panet": "neck.reduce_conv_c5.1.weight neck.fpems.1.down_add3.pointwise_conv.bias neck.fpems.0.up_add1.bn.bias",
    }
    from vf.carry import renamer, shapes_of

    full = {"dbnet": DBNet(), "dbnetpp": DBNetPP(), "psenet": PSENet(), "panet": PANet()}
    for name, theirs in names.items():
        wanted = shapes_of(full[name].build, INFO)
        weights = full[name].foreign_weights("mmocr")
        assert weights is not None
        rename = renamer(weights, wanted)
        assert None not in [rename(one) for one in (*theirs.split(), "backbone.layer1.0.conv1.weight")], name


def test_vf_convert_makes_a_detector_of_a_file_of_mmocr(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = DBNet().build(INFO).state_dict()
    back = (
        (r"neck\.(lateral|smooth)\.(\d)\.weight", r"neck.\1_convs.\2.conv.weight"),
        (r"head\.kernels\.(.+)", r"det_head.binarize.\1"),
        (r"head\.thresholds\.(.+)", r"det_head.threshold.\1"),
        (r"(backbone\..+)", r"\1"),
    )
    theirs = {re.sub(a, b, name): t for name, t in ours.items() for a, b in back if re.fullmatch(a, name)}
    torch.save({"meta": {"mmocr_version": "1.0.1"}, "state_dict": theirs}, tmp_path / "theirs.pth")
    order = Order(source="mmocr", to="ocr/dbnet_r18_fpnc_1200e_icdar2015")
    done = convert(read_foreign(tmp_path / "theirs.pth"), tmp_path / "ours.safetensors", order)
    assert done.whole, done.lines
    loaded = Predictor.load(tmp_path / "ours.safetensors", device="cpu")
    assert loaded.info.classes == ("text",)
    torch.testing.assert_close(dict(loaded.model.state_dict()), dict(ours))


def test_data_without_polygons_is_refused() -> None:
    page = sample(1)
    del page.target["polygons"]
    with pytest.raises(DataError, match=r"^data: has no polygons of text, which text detectors learn; use data for"):
        built("dbnet").preprocess.fit(page, with_target=True)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: DBNet(backbone=ResNet(depth=18, out=(2, 3, 4))).build(INFO),
            "model.backbone: text detectors join levels of strides [4, 8, 16, 32], got [8, 16, 32]; change "
            "backbone.out, or take another backbone",
        ),
        (
            lambda: DBNet(deformable=(3,)).build(INFO),
            "deformable: stage 3 of the backbone has no bottlenecks; take a resnet of depth 50 or more, or leave "
            "deformable out",
        ),
    ],
)
def test_backbones_that_do_not_fit_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert str(refused.value) == sentence


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DBNet(neck_width=66), "neck_width must be a multiple of 4, got 66"),
        (lambda: DBNet(low=0.8), "low 0.8 > high 0.7"),
        (lambda: Sizing(short=2000), "short 2000 > long 1333"),
        (lambda: Sizing(divisor=48), "divisor must be a multiple of 32 (the coarsest stride), got 48"),
        (lambda: PSENet(ratios=(0.4, 1.0)), "ratios must be two or more falling numbers, got [0.4, 1.0]"),
        (lambda: DBNet(shrink=1.5), "must be from 0 to 1, got 1.5"),
    ],
)
def test_keys_that_do_not_fit_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the sentence is compared below
        make()
    assert str(refused.value) == sentence


def test_the_slim_backbone_keeps_its_contract() -> None:
    vf.testing.check_backbone(Slim(width=8, blocks=(1, 2, 1, 1)))
