"""Backbones: numbers of torchvision, frozen parts that stay, norms by key, activations computed again, weights."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg
from torchvision.models.detection.ssd import SSDFeatureExtractorVGG
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FrozenBatchNorm2d

from vf import backbones as configs
from vf.errors import ConfigError
from vf.necks import FPN, HRFPN, Neck
from vf.nn.backbones.tv import parts_of
from vf.nn.norms import able_on, change_norms, group_norm
from vf.nn.sync_batchnorm import SyncBatchNorm
from vf.plugins import plugins
from vf.protocols import BackboneConfig
from vf.resizing import Resize
from vf.schema import config, field
from vf.structuring import Structurer, unstructure
from vf.testing import check_backbone, check_config
from vf.yaml12 import dump, parse

SMALL: dict[str, Callable[..., Any]] = {
    "resnet": functools.partial(configs.ResNet, depth=18),
    "hrnet": configs.HRNet,
    "tv": functools.partial(configs.Torchvision, net="mobilenet_v3_small"),
}


def filled(net: nn.Module, *, seed: int = 0) -> nn.Module:
    """Give every norm statistics that are not at their start."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in net.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if name.endswith("var") else -0.5))
    return net


def copied(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in state.items()}


def step(net: nn.Module, size: int = 32) -> tuple[dict[str, Tensor], Tensor]:
    """Take one optimizer step in training mode; return the gradients and the loss."""
    torch.manual_seed(3)
    loss = sum((level**2).mean() for level in net.train()(torch.randn(2, 3, size, size)))
    assert isinstance(loss, Tensor)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}
    torch.optim.SGD(net.parameters(), lr=0.1, weight_decay=0.1).step()
    return gradients, loss.detach()


@pytest.mark.parametrize("name", plugins().names("backbone"))
def test_configs_explain_themselves(name: str) -> None:
    check_config(plugins().lookup("backbone", name), name)


@pytest.mark.parametrize(
    "config",
    [
        configs.ResNet(depth=18, frozen_stages=1, norm_eval=True),
        configs.ResNet(depth=50, groups=32, width_per_group=4, style="caffe", out=(1, 2), norm="gn"),
        configs.HRNet(out=(1, 3), frozen_stages=2),
        configs.Torchvision(net="mobilenet_v3_small", frozen_stages=2),
        configs.Torchvision(net="swin_t", out=(1, 2), out_norm=True, frozen_stages=1),
        configs.Torchvision(net="regnet_y_400mf", out=(2, 3)),
    ],
    ids=lambda c: f"{type(c).__name__} {getattr(c, 'net', '')}",
)
def test_the_contract(config: Any) -> None:
    check_backbone(config)


@pytest.mark.parametrize(("size", "levels"), [(300, [38, 19, 10, 5, 3, 1]), (512, [64, 32, 16, 8, 4, 2, 1])])
def test_levels_of_ssd_are_those_of_the_paper(size: int, levels: list[int]) -> None:
    with torch.device("meta"):
        net = configs.VGG16SSD(size=size).build()  # type: ignore[arg-type]
        out = net.eval()(torch.zeros(1, 3, size, size))
    assert [tuple(x.shape[1:]) for x in out] == [(c, n, n) for c, n in zip(net.channels, levels, strict=True)]
    assert net.channels == (512, 1024, 512, 256, 256, 256, 256)[: len(levels)]


def test_ssd_has_the_numbers_of_torchvision() -> None:
    theirs = SSDFeatureExtractorVGG(vgg.make_layers(vgg.cfgs["D"]), False).eval()
    ours = configs.VGG16SSD().build().eval()
    inner = {"0.1": "24", "0.3": "26", "0.5": "28", "0.7.1": "31", "0.7.3": "33"}
    state = {}
    for name, tensor in theirs.state_dict().items():
        layer, _, kind = name.removeprefix("extra.").rpartition(".")
        if layer in inner:
            name = f"features.{inner[layer]}.{kind}"
        elif name.startswith("extra"):
            name = f"extra.{int(layer[0]) - 1}.{layer[2:]}.{kind}"
        state["l2_norm.weight" if name == "scale_weight" else name] = tensor
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 300, 300)
    with torch.no_grad():
        for level, same in zip(ours(x), theirs(x).values(), strict=True):
            torch.testing.assert_close(level, same, atol=1e-5, rtol=1e-5)


def test_resnet_has_the_numbers_of_torchvision() -> None:
    theirs = filled(torchvision.models.resnet50(weights=None)).eval()
    ours = configs.ResNet(depth=50).build().eval()
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["fc.weight", "fc.bias"])
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        y = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))  # type: ignore[operator]
        for level, layer in zip(ours(x), ("layer1", "layer2", "layer3", "layer4"), strict=True):
            y = theirs.get_submodule(layer)(y)
            torch.testing.assert_close(level, y, atol=1e-5, rtol=1e-5)
    assert ours.channels == (256, 512, 1024, 2048)


@pytest.mark.parametrize("kind", [(18, 1, 64), (50, 32, 4), (101, 64, 4), (50, 1, 128)])
def test_names_and_shapes_are_those_of_torchvision(kind: tuple[int, int, int]) -> None:
    depth, groups, width = kind
    with torch.device("meta"):
        theirs = torchvision.models.get_model(configs.RESNETS[kind], weights=None).state_dict()
        ours = configs.ResNet(depth=depth, groups=groups, width_per_group=width).build().state_dict()  # type: ignore[arg-type]
    assert {n: t.shape for n, t in ours.items()} == {n: t.shape for n, t in theirs.items() if not n.startswith("fc.")}


def test_caffe_has_the_stride_in_the_first_convolution() -> None:
    net = configs.ResNet(depth=50, style="caffe").build()
    for name, block in net.named_modules():
        if isinstance(block, Bottleneck):
            first = name in ("layer2.0", "layer3.0", "layer4.0")
            assert (block.conv1.stride[0], block.conv2.stride[0]) == ((2, 1) if first else (1, 1)), name


def test_stages_that_nobody_asked_for_are_left_out() -> None:
    net = configs.ResNet(depth=18, out=(2, 3)).build()
    assert not hasattr(net, "layer4")
    assert (net.channels, net.strides) == ((128, 256), (8, 16))


def test_torchvision_by_name_has_torchvisions_numbers() -> None:
    net = configs.Torchvision(net="mobilenet_v3_small").build().eval()
    whole = filled(torchvision.models.mobilenet_v3_small(weights=None)).eval()
    net.net.load_state_dict({n: t for n, t in whole.state_dict().items() if n.startswith("features")})  # type: ignore[union-attr]
    x, ends = torch.randn(1, 3, 64, 96), {}
    with torch.no_grad():
        found, y = net(x), x
        for index, part in enumerate(whole.features):  # type: ignore[arg-type]
            ends[index] = y = part(y)
    for level, index in zip(found, (1, 3, 8, 12), strict=True):
        torch.testing.assert_close(level, ends[index], atol=1e-5, rtol=1e-5)
    assert net.channels == (16, 24, 48, 576)
    swin = configs.Torchvision(net="swin_t", out=(1,)).build().eval()
    with torch.no_grad():
        assert swin(x)[0].shape == (1, 96, 16, 24), "channels come second, whatever the net has inside"


@pytest.mark.parametrize(
    ("net", "last"),
    [
        ("resnet18", {4: "layer1", 8: "layer2", 16: "layer3", 32: "layer4"}),
        ("efficientnet_b0", {4: "features.2", 8: "features.3", 16: "features.5", 32: "features.8"}),
        ("convnext_tiny", {4: "features.1", 8: "features.3", 16: "features.5", 32: "features.7"}),
        ("densenet121", {s: f"features.{n}" for s, n in ((4, "denseblock1"), (16, "denseblock3"), (32, "norm5"))}),
    ],
)
def test_a_level_is_the_last_part_of_its_stride(net: str, last: dict[int, str]) -> None:
    found = {part.stride: part.name for part in parts_of(net, torchvision.models.get_model(net, weights=None))}
    assert {stride: found[stride] for stride in last} == last


@pytest.mark.parametrize("name", SMALL)
def test_frozen_stages_stay_bitwise_and_the_others_do_not(name: str) -> None:
    net = SMALL[name](frozen_stages=2).build()
    prefixes = {
        "resnet": ("conv1.", "bn1.", "layer1.", "layer2."),
        "hrnet": ("conv1.", "bn1.", "conv2.", "bn2.", "layer1.", "transition1.", "stage2."),
        "tv": tuple(f"net.features.{n}." for n in range(4)),
    }[name]
    before = copied(net.state_dict())
    step(net)
    after = net.state_dict()
    for key, tensor in before.items():
        if key.startswith(prefixes):
            assert torch.equal(after[key], tensor), key
        elif not key.endswith("bias"):  # that of a layer before a norm gets no gradient
            assert not torch.equal(after[key], tensor), key


def test_norm_eval_keeps_the_statistics_and_trains_the_weights() -> None:
    net = filled(configs.ResNet(depth=18, norm_eval=True).build())
    before = copied(net.state_dict())
    step(net)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.endswith(("running_mean", "running_var", "tracked")), name
    assert net.eval().train().training


@pytest.mark.parametrize("name", SMALL)
def test_activations_computed_again_change_no_bit(name: str) -> None:
    nets = []
    for checkpoint in (False, True):
        torch.manual_seed(0)
        nets.append(SMALL[name](checkpoint=checkpoint).build())
    assert nets[0].state_dict().keys() == nets[1].state_dict().keys()
    (plain, loss), (again, same_loss) = map(step, nets)
    assert torch.equal(loss, same_loss)
    for name, gradient in plain.items():
        assert torch.equal(again[name], gradient), name
    theirs = nets[1].state_dict()
    for name, tensor in nets[0].state_dict().items():
        assert torch.equal(theirs[name], tensor), name
        if name.endswith("num_batches_tracked"):
            assert int(tensor) == 1, "statistics move once"


def test_ssd_freezes_stages_and_computes_the_others_again() -> None:
    torch.manual_seed(0)
    net = configs.VGG16SSD(frozen_stages=4).build().train()
    again = configs.VGG16SSD(frozen_stages=3, checkpoint=True).build().train()
    again.load_state_dict(net.state_dict())
    x = torch.randn(1, 3, 300, 300)
    for ssd in (net, again):
        sum((level**2).mean() for level in ssd(x)).backward()  # type: ignore[union-attr]
    theirs = dict(again.named_parameters())
    assert [n for n, p in net.named_parameters() if p.grad is None] == [
        f"features.{n}.{part}" for n in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21) for part in ("weight", "bias")
    ]
    assert theirs["features.17.weight"].grad is not None
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            assert torch.equal(parameter.grad, theirs[name].grad), name  # type: ignore[arg-type]


def test_fewer_activations_are_kept() -> None:
    kept = []
    for checkpoint in (False, True):
        net = configs.ResNet(depth=18, checkpoint=checkpoint).build().train()
        sizes: list[int] = []

        def keep(tensor: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            net(torch.randn(1, 3, 64, 64))
        kept.append(sum(sizes))
    assert kept[1] < kept[0] / 2


@pytest.mark.parametrize(
    ("norm", "cls"),
    [("bn", nn.BatchNorm2d), ("sync_bn", nn.SyncBatchNorm), ("frozen_bn", FrozenBatchNorm2d), ("gn", nn.GroupNorm)],
)
def test_norms_by_key(norm: Any, cls: type[nn.Module]) -> None:
    net = configs.ResNet(depth=18, norm=norm).build()
    found = [m for n, m in net.named_modules() if n.rpartition(".")[2].startswith("bn") or n.endswith("downsample.1")]
    assert len(found) == 20
    assert all(type(m) is cls for m in found)
    check_backbone(configs.ResNet(depth=18, norm=norm))


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (144, 16), (18, 2), (7, 1)])
def test_groups_divide_the_channels(channels: int, groups: int) -> None:
    assert group_norm(channels).num_groups == groups


def test_other_batch_norms_take_over_what_was_there() -> None:
    plain = filled(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, eps=0.1))).eval()
    x = torch.randn(2, 3, 5, 5)
    for norm in ("sync_bn", "frozen_bn"):
        other = copy.deepcopy(plain)
        assert change_norms(other, norm) == 1
        torch.testing.assert_close(other(x), plain(x))


def test_a_norm_over_all_processes_runs_on_the_cpu_too() -> None:
    net = configs.ResNet(depth=18, norm="sync_bn").build()
    state = copied(net.state_dict())
    able = able_on(net, torch.device("cpu"))
    assert {type(m) for n, m in able.named_modules() if n.rpartition(".")[2].startswith("bn")} == {SyncBatchNorm}
    assert able.state_dict().keys() == state.keys()
    one = configs.ResNet(depth=18).build()
    one.load_state_dict(state)
    for level, same in zip(able.train()(torch.ones(2, 3, 64, 64)), one(torch.ones(2, 3, 64, 64)), strict=True):
        torch.testing.assert_close(level, same, atol=1e-4, rtol=1e-4)


class Shouting(nn.BatchNorm2d):
    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).relu()


def test_a_norm_that_does_more_is_not_replaced() -> None:
    with pytest.raises(ConfigError) as error:
        change_norms(nn.Sequential(Shouting(3)), "gn")
    assert str(error.value) == (
        "backbone.norm: 0 is a Shouting, which does more than a batch norm, so gn cannot take its place; leave norm out"
    )


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (
            lambda: configs.ResNet(out=(2, 1)),
            "must be levels from 1 to 4 in rising order, like [1, 2, 3, 4], got [2, 1]",
        ),
        (lambda: configs.ResNet(out=()), "must be levels from 1 to 4 in rising order, like [1, 2, 3, 4], got []"),
        (lambda: configs.ResNet(frozen_stages=5), "must be from 0 to 4, got 5"),
        (
            lambda: configs.ResNet(depth=18, groups=32),
            "depth 18 has no groups, width_per_group and style; leave them out",
        ),
        (
            lambda: configs.ResNet(depth=152, groups=32, width_per_group=4, pretrained="imagenet"),
            "pretrained imagenet: nobody has published style pytorch, depth 152, groups 32, width_per_group 4; name a "
            "file or an address",
        ),
        (
            lambda: configs.HRNet(norm="gn", pretrained="imagenet"),
            "pretrained imagenet was trained with batch norms; leave norm: gn out, or name a file of gn",
        ),
        (
            lambda: configs.Torchvision(net="convnext_tiny", norm="gn").build(),
            "backbone: norm: this net has no batch norms that gn could replace; leave norm out",
        ),
        (
            lambda: configs.Torchvision(net="resnet51").build(),
            "backbone.net: torchvision has no net 'resnet51'; did you mean 'resnet50' or 'resnet18' or 'resnet152'?",
        ),
        (
            lambda: configs.Torchvision(net="alexnet").build(),
            "backbone.out: alexnet has no level 1, 2, 3, 4; its strides are none",
        ),
        (
            lambda: configs.Torchvision(net="vit_b_32").build(),
            "backbone.net: vit_b_32 does not take images of any size (Wrong image height! Expected 224 but got 256!); "
            "choose another",
        ),
    ],
)
def test_what_cannot_be(build: Callable[[], Any], sentence: str) -> None:
    with pytest.raises((ValueError, ConfigError)) as error:
        build()
    assert str(error.value) == sentence


@config
class Standing:
    """What a detector's config looks like."""

    backbone: BackboneConfig = field(default=configs.ResNet(depth=18), help="that it stands on")
    neck: Neck = field(default=FPN(), help="behind it")
    resize: Resize = field(default=Resize(), help="of images")


def test_a_model_chooses_backbone_and_neck_by_name() -> None:
    text = "backbone: {name: hrnet, width: 32}\nneck: {name: hrfpn, levels: 4}\nresize: {short: 640}\n"
    reader = Structurer(plugins())
    found = reader.build(parse(text, "f"), Standing)
    assert (reader.problems, found) == (
        [],
        Standing(backbone=configs.HRNet(width=32), neck=HRFPN(levels=4), resize=Resize(short=640)),
    )
    plain = unstructure(found, plugins())
    assert (plain["backbone"]["name"], plain["neck"]["name"], plain["resize"]["short"]) == ("hrnet", "hrfpn", 640)
    assert Structurer(plugins()).build(parse(dump(plain), "f"), Standing) == found
    assert unstructure(Standing(), plugins())["neck"]["name"] == "fpn"


def test_wrong_names_and_keys_of_them_are_one_line_each() -> None:
    reader = Structurer(plugins())
    reader.build(parse("backbone: {name: resnt}\nneck: {name: fnp, levels: 4}\n", "f"), Standing)
    reader.build(parse("backbone: {name: resnet, dept: 50}\nneck: {name: fpn, levels: 0}\n", "f"), Standing)
    reader.build(parse("backbone: {name: resnet, depth: 18, groups: 2}\n", "f"), Standing)
    assert reader.problems == [
        "f:1: backbone.name: unknown backbone 'resnt'; did you mean 'resnet' or 'hrnet'?",
        "f:2: neck.name: unknown neck 'fnp'; did you mean 'fpn'?",
        "f:1: backbone.dept: unknown key; did you mean 'depth'?",
        "f:2: neck.levels: must be > 0, got 0",
        "f:1: backbone: depth 18 has no groups, width_per_group and style; leave them out",
    ]
