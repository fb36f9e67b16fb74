"""Segmenters: the contract, torchvision's numbers, sides, words about mistakes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import attrs
import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from vf.backbones import HRNet, ResNet, Timm, Torchvision
from vf.engine.optim import build_optimizer
from vf.errors import ConfigError
from vf.nn.forgetful import make_forgetful
from vf.optimizers import AdamW
from vf.plugins import plugins
from vf.protocols import ModelConfig
from vf.schema import Duration
from vf.testing import check_backbone, check_config
from vf.training import Train
from vf_seg import light_configs as light
from vf_seg import model_configs as models
from vf_seg.backbone_configs import MiT
from vf_seg.heads.blocks import Fuse, like
from vf_seg.image_configs import Resize
from vf_seg.loss_configs import CrossEntropy, Dice
from vf_seg.segmenter_configs import Aux
from vf_seg.testing import INFO, check_segmenter, seg_batch

SMALL = ResNet(depth=18, dilate=8, stem="deep")
HR = HRNet(upsample="bilinear")
EVERY: dict[str, ModelConfig] = {
    "fcn": models.FCN(backbone=SMALL, width=32),
    "fcn hrnet": models.FCN(backbone=HR, levels=(1, 2, 3, 4), width=None, convs=1, kernel=1, concat=False, aux=()),
    "pspnet": models.PSPNet(backbone=SMALL, width=32),
    "pspnet gn": models.PSPNet(backbone=ResNet(depth=18, dilate=16, norm="gn"), width=64, norm="gn"),
    "deeplabv3": models.DeepLabV3(backbone=SMALL, width=32),
    "deeplabv3 project": models.DeepLabV3(backbone=SMALL, width=32, project=True, aux=()),
    "deeplabv3plus": models.DeepLabV3Plus(backbone=SMALL, width=32),
    "upernet": models.UPerNet(backbone=ResNet(depth=18), width=32),
    "upernet swin": models.UPerNet(backbone=Torchvision(net="swin_t", out_norm=True), width=32),
    "upernet convnext": models.UPerNet(backbone=Timm(net="convnext_atto", out_norm=True), width=32),
    "ocrnet": models.OCRNet(backbone=HR, width=32, key_width=16),
    "segformer": models.SegFormer(width=32),
    "unet": light.UNet(width=8),
    "lraspp": light.LRASPP(),
    "lraspp small": light.LRASPP(net="mobilenet_v3_small"),
    "fast_scnn": light.FastSCNN(),
    "smp": light.SMP(encoder="resnet18"),
    "resized": models.SegFormer(width=32, resize=Resize(short=64, long=128, divisor=32)),
    "terms": light.UNet(width=8, loss=(CrossEntropy(class_weights=(1.0, 2.0, 1.0)), Dice(weight=3.0))),
}


@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY)
def test_they_keep_the_contract(config: ModelConfig) -> None:
    check_segmenter(config)


@pytest.mark.parametrize(
    "name", [c.name for c in plugins().components("model") if c.cls.__module__.startswith("vf_seg")]
)
def test_configs_explain_themselves(name: str) -> None:
    check_config(plugins().lookup("model", name, task="seg"), name)


@pytest.mark.parametrize(
    "config", [MiT(), MiT(size="b1", frozen_stages=1, checkpoint=True)], ids=["b0", "b1 frozen checkpoint"]
)
def test_mit_keeps_the_contract_of_backbones(config: MiT) -> None:
    check_config(MiT, "mit")
    check_backbone(config)


@pytest.mark.parametrize(("size", "millions"), [("b0", 3.3), ("b1", 13.2), ("b2", 24.2), ("b3", 44.1), ("b5", 81.4)])
def test_mit_has_the_published_number_of_parameters(size: Any, millions: float) -> None:
    """arXiv 2105.15203, table 6: of the encoders."""
    with torch.device("meta"):
        net = MiT(size=size).build()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)


def drawn(net: nn.Module) -> nn.Module:
    """Give norms statistics that are not at their start."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            shift = 0.5 if name.endswith("var") else -0.5
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + shift)
    return net


def carried(config: Any, theirs: nn.Module) -> Any:
    """Our model with torchvision's weights, every one of them, set as they need it."""
    from vf.carry import renamer

    weights = config.foreign_weights("torchvision")
    assert weights is not None
    model = config.build(INFO)
    rename = renamer(weights, model.state_dict())
    names = {name: rename(name) for name in theirs.state_dict()}
    assert all(names.values()), [name for name, ours in names.items() if ours is None]
    model.load_state_dict(
        {names[name]: tensor for name, tensor in theirs.state_dict().items()}
        | {name: tensor for name, tensor in model.state_dict().items() if name.startswith("preprocess")}
    )
    return model


PLAIN = ResNet(depth=50, dilate=8)


@pytest.mark.parametrize(
    ("config", "make"),
    [
        (models.FCN(backbone=PLAIN, convs=1, concat=False), torchvision.models.segmentation.fcn_resnet50),
        (
            models.DeepLabV3(backbone=PLAIN, width=256, project=True),
            torchvision.models.segmentation.deeplabv3_resnet50,
        ),
        (light.LRASPP(), torchvision.models.segmentation.lraspp_mobilenet_v3_large),
    ],
    ids=["fcn", "deeplabv3", "lraspp"],
)
def test_numbers_are_torchvisions(config: Any, make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    options = {} if isinstance(config, light.LRASPP) else {"aux_loss": True}
    theirs = drawn(make(weights=None, weights_backbone=None, num_classes=3, **options)).eval()
    ours = carried(config, theirs).eval()
    images = torch.randn(1, 3, 70, 90)
    with torch.no_grad():
        expected = theirs(images)
        full = F.interpolate(ours.logits(images)[0], size=(70, 90), mode="bilinear")
        torch.testing.assert_close(full, expected["out"], rtol=1e-4, atol=1e-4)
        if "aux" in expected:
            side = ours.aux[0](ours.backbone(images))
            torch.testing.assert_close(F.interpolate(side, size=(70, 90), mode="bilinear"), expected["aux"])


def losses_of(config: ModelConfig, change: Callable[[Any], None] = lambda model: None) -> tuple[dict[str, float], Any]:
    torch.manual_seed(0)
    model: Any = config.build(INFO)
    change(model)
    torch.manual_seed(1)
    losses = model.train()(seg_batch(model.preprocess))
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}, model


def test_losses_have_names_and_weights() -> None:
    config = light.UNet(width=8, dropout=0.0, loss=(CrossEntropy(), Dice(weight=3.0), Dice()))
    found, _ = losses_of(config)
    assert list(found) == [
        "cross_entropy", "dice", "dice2", "aux_cross_entropy", "aux_dice", "aux_dice2",
    ]  # fmt: skip
    assert found["dice"] == pytest.approx(3 * found["dice2"])
    doubled, _ = losses_of(attrs.evolve(config, aux_weight=0.8))
    assert doubled["aux_dice"] == pytest.approx(2 * found["aux_dice"])
    assert doubled["dice"] == pytest.approx(found["dice"])
    alone, _ = losses_of(attrs.evolve(config, aux_weight=0.0))
    assert list(alone) == ["cross_entropy", "dice", "dice2"]


def test_padding_does_not_count() -> None:
    """Of two images of other sizes the losses are those of one batch with the same labelled pixels."""
    model: Any = light.FastSCNN(aux_weight=0.0, dropout=0.0, norm="gn").build(INFO)
    batch = seg_batch(model.preprocess)
    assert batch.images.shape[-2:] == (80, 96)
    noisy = attrs.evolve(batch, images=batch.images.clone())
    noisy.images[0, :, 64:], noisy.images[1, :, :, 64:] = 255, 7
    assert model.train()(batch)["cross_entropy"].item() == model(noisy)["cross_entropy"].item()


@pytest.mark.parametrize("pattern", ["backbone.layer3", "head", "aux.0"])
def test_activations_may_be_computed_again(pattern: str) -> None:
    config = models.PSPNet(backbone=SMALL, width=16, dropout=0.0)
    plain, one = losses_of(config)
    again, other = losses_of(config, lambda model: make_forgetful(model.get_submodule(pattern)))
    assert again == plain
    for (name, p), (_, q) in zip(one.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=lambda text, name=name: f"{name}: {text}")
    for (name, a), (_, b) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(a, b), name


def test_layers_are_numbered() -> None:
    model: Any = models.SegFormer(width=32).build(INFO)
    assert model.num_layers == 9
    wanted = {
        "backbone.layers.0.0.projection.weight": 0,
        "backbone.layers.0.1.0.norm1.weight": 1,
        "backbone.layers.0.1.1.ffn.layers.0.weight": 2,
        "backbone.layers.0.2.weight": 2,
        "backbone.layers.1.0.norm.bias": 2,
        "backbone.layers.3.1.1.attn.attn.in_proj_bias": 8,
        "backbone.layers.3.2.bias": 8,
        "head.classes.weight": 9,
    }
    assert {name: model.layer_id(name) for name in wanted} == wanted
    train = Train(length=Duration(1, "steps"), batch_size=1, optimizer=AdamW(lr=1.0, layer_decay=0.5))
    assert {group["lr_mult"] for group in build_optimizer(model, train).param_groups} == {0.5**n for n in range(10)}


def test_a_copy_of_the_model_is_its_own() -> None:
    """An average of the weights is a deep copy; it may not number layers by the original's."""
    model: Any = models.SegFormer(width=32).build(INFO)
    other = copy.deepcopy(model)
    assert other.layer_id("head.classes.weight") == 9
    batch = seg_batch(model.preprocess, training=False)
    assert torch.equal(model.eval()(batch)[0]["semantic"], other.eval()(batch)[0]["semantic"])


def said(act: Callable[[], Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    return str(caught.value)


def test_mistakes_are_one_line_each() -> None:
    cut = ResNet(depth=18, out=(3, 4))
    assert said(lambda: models.PSPNet(backbone=cut, aux=(Aux(level=2),)).build(INFO)) == (
        "model.aux: the backbone hands on levels [3, 4], and not 2; change model.aux or model.backbone.out"
    )
    assert said(lambda: models.FCN(backbone=cut, levels=(1, 4)).build(INFO)) == (
        "model.levels: the backbone hands on levels [3, 4], and not 1; change model.levels or model.backbone.out"
    )
    assert said(lambda: light.SMP(arch="unett").build(INFO)) == (
        "model.arch: segmentation-models-pytorch has no 'unett'; did you mean 'unet' or 'upernet' or 'manet'?"
    )
    assert said(lambda: light.SMP(encoder="resnet43").build(INFO)).startswith(
        "model.encoder: segmentation-models-pytorch has no 'resnet43'; did you mean "
    )
    single: Any = models.PSPNet(backbone=SMALL, width=16).build(INFO)
    batch = seg_batch(single.preprocess, sizes=[(64, 64)])
    assert said(lambda: single.train()(batch)) == (
        "train.batch_size: head.pyramid pools each image to one value, and batch norm cannot train on a single one; "
        "give each pass at least 2 images (batch_size / accumulate / processes), or set model.norm: gn"
    )
    grouped: Any = models.PSPNet(backbone=SMALL, width=64, norm="gn", aux=()).build(INFO)
    assert grouped.train()(batch)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: models.FCN(kernel=2), "kernel must be odd, got 2"),
        (lambda: models.FCN(convs=0), "concat needs convs of 1 or more; set one of them"),
        (lambda: models.FCN(levels=()), "levels: must have at least 1 item, got none"),
        (lambda: models.FCN(loss=()), "must have at least 1 item, got none"),
        (lambda: light.UNet(resize=Resize()), "resize.divisor must be a multiple of 16 here, got 1"),
    ],
)
def test_wrong_keys_are_refused(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        make()


def as_tensor(value: Any) -> Tensor:
    assert isinstance(value, Tensor)
    return value


@pytest.mark.parametrize("size", [(13, 17), (3, 4), (6, 6), (1, 2)])
def test_grids_are_convolved_as_if_they_were_maps(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    fuse = Fuse(5, [3, 3, 4], 7, norm="bn").double().eval()
    conv, norm, relu = fuse
    exact: Any = {"requires_grad": True, "dtype": torch.float64}
    x = torch.randn(2, 5, *size, **exact)
    grids = [torch.randn(2, width, cells, cells, **exact) for width, cells in ((3, 1), (3, 2), (4, 6))]
    found = []
    for out in (fuse(x, grids), relu(norm(conv(torch.cat([x, *(like(grid, x) for grid in grids)], 1))))):
        gradients = torch.autograd.grad(out.square().sum(), [x, *grids, *fuse.parameters()])
        found.append([out, *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)
    assert Fuse(5, [], 7, norm="bn").double().eval()(x).shape == (2, 7, *size)


def test_small_images_are_padded() -> None:
    model: Any = models.SegFormer(width=32).build(INFO).eval()
    batch = seg_batch(model.preprocess, sizes=[(5, 9)], training=False)
    assert as_tensor(model(batch)[0]["semantic"]).shape == (5, 9)
