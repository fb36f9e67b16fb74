"""Necks: torchvision's numbers, sums worked out by hand, extra levels, and what cannot be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from vf import necks
from vf.errors import ConfigError
from vf.necks import FPN, HRFPN, PAFPN, BiFPN
from vf.nn.necks import Fusion, Neck, TwoWay
from vf.testing import check_config

CHANNELS, STRIDES = (4, 6, 8), (8, 16, 32)


def levels(height: int = 16, width: int = 24, channels: tuple[int, ...] = CHANNELS) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(2, c, -(-height // 2**n), -(-width // 2**n)) for n, c in enumerate(channels)]


@pytest.mark.parametrize("name", necks.Neck.choices())
def test_configs_explain_themselves(name: str) -> None:
    check_config(necks.Neck.choices()[name], name)


@pytest.mark.parametrize("size", [(16, 24), (15, 23)])
@pytest.mark.parametrize(
    ("config", "extra"),
    [
        (FPN(channels=5, levels=3), None),
        (FPN(channels=5, levels=4), LastLevelMaxPool()),
        (FPN(channels=5, levels=5, extra="conv_in", extra_relu=True), LastLevelP6P7(8, 5)),
        (FPN(channels=8, levels=5, extra="conv_out", extra_relu=True), LastLevelP6P7(8, 8)),
    ],
    ids=["plain", "pool", "conv_in", "conv_out"],
)
def test_fpn_has_the_numbers_of_torchvision(config: FPN, extra: Any, size: tuple[int, int]) -> None:
    theirs = FeaturePyramidNetwork(list(CHANNELS), config.channels, extra_blocks=extra)
    ours = config.build(CHANNELS, STRIDES)
    names = {"p6": "extra.0.0", "p7": "extra.1.1"}
    state = {}
    for name, tensor in theirs.state_dict().items():
        head, _, rest = name.removeprefix("extra_blocks.").rpartition(".")
        state[f"{names[head]}.{rest}" if head in names else f"fpn.{name}"] = tensor
    ours.load_state_dict(state)
    found = ours(levels(*size))
    expected = theirs(OrderedDict((str(n), x) for n, x in enumerate(levels(*size))))
    assert len(found) == config.levels
    for a, b in zip(found, expected.values(), strict=True):
        assert torch.equal(a, b)
    assert (ours.channels, ours.strides) == (config.channels, (8, 16, 32, 64, 128)[: config.levels])


def test_extra_levels_without_relu() -> None:
    neck = FPN(channels=5, levels=5, extra="conv_out").build(CHANNELS, STRIDES)
    *_, p5, p6, p7 = neck(levels())
    p5, p6 = neck.extra[0](p5), neck.extra[1](p6)  # type: ignore[index]
    assert torch.equal(p5, neck(levels())[3])
    assert torch.equal(p6, p7)


@pytest.mark.parametrize("config", [FPN, PAFPN, BiFPN, HRFPN])
@pytest.mark.parametrize("size", [(16, 32), (15, 23), (4, 4)])
def test_levels_are_what_they_say(config: Callable[..., Any], size: tuple[int, int]) -> None:
    neck: Neck = config(channels=8).build(CHANNELS, STRIDES)
    if config is HRFPN:
        size = (size[0] + 16, size[1] + 16)  # it averages, and its coarsest level is 16 cells
    out = neck.train()(levels(*size))
    assert neck.strides == (8, 16, 32, 64, 128)
    for level, stride in zip(out, neck.strides, strict=True):
        parts = stride // 8
        halves = [side // parts if config is HRFPN else -(-side // parts) for side in size]
        assert level.shape == (2, 8, *halves)
    sum((level**2).mean() for level in out).backward()  # type: ignore[union-attr]
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("config", [FPN, PAFPN, BiFPN, HRFPN])
@pytest.mark.parametrize(("norm", "cls"), [("bn", nn.BatchNorm2d), ("sync_bn", nn.SyncBatchNorm), ("gn", nn.GroupNorm)])
def test_norms_by_key(config: Callable[..., Any], norm: str, cls: type[nn.Module]) -> None:
    neck: Neck = config(channels=32, norm=norm).build(CHANNELS, STRIDES)
    convs = [m for m in neck.modules() if isinstance(m, nn.Conv2d)]
    found = [m for m in neck.modules() if isinstance(m, cls)]
    assert len(found) == len([c for c in convs if c.groups == 1])
    assert all(c.bias is None for c in convs)


def test_path_aggregation_by_hand() -> None:
    """One channel, 1×1 maps: every convolution multiplies by its middle weight."""
    neck = PAFPN(channels=1, levels=3).build((1, 1), (8, 16))
    for name, parameter in neck.named_parameters():
        nn.init.zeros_(parameter)
        if parameter.ndim == 4:
            middle = parameter.shape[2] // 2
            parameter.data[..., middle, middle] = {"down": 10.0, "fuse": 100.0}.get(name.partition(".")[0], 1.0)
    neck.requires_grad_(False)
    fine, coarse = torch.tensor([[[[2.0]]]]), torch.tensor([[[[3.0]]]])
    p3, p4 = 2 + 3, 3
    n4 = 100 * (p4 + 10 * p3)
    assert [float(x) for x in neck([fine, coarse])] == [p3, n4, n4]
    assert [float(x) for x in neck([fine, -coarse])] == [-1, 0, 0], "both steps of the way back end in a ReLU"


def test_hrfpn_by_hand() -> None:
    neck = HRFPN(channels=1, levels=2).build((1, 2), (4, 8))
    nn.init.zeros_(neck.get_parameter("reduce.0.bias"))
    neck.get_parameter("reduce.0.weight").data.copy_(torch.tensor([1.0, 10, 100]).view(1, 3, 1, 1))
    for n in range(2):
        nn.init.dirac_(neck.get_parameter(f"convs.{n}.0.weight"))
    fine = torch.tensor([[1.0, 2, 3, 4]] * 4).view(1, 1, 4, 4)
    coarse = torch.stack([torch.tensor([[0.0, 4], [0, 4]]), torch.ones(2, 2)])[None]
    ramp = torch.tensor([0.0, 1, 3, 4])  # 0 and 4 at the middles of two columns each, bilinear between
    first, second = neck([fine, coarse])
    expected = torch.tensor([1.0, 2, 3, 4]) + 10 * ramp + 100
    torch.testing.assert_close(first, expected.expand(1, 1, 4, 4))
    torch.testing.assert_close(second, expected.view(2, 2).mean(1).expand(1, 1, 2, 2))
    coarser = HRFPN(channels=1, levels=2, step=2).build((1, 2), (4, 8))
    coarser.load_state_dict(neck.state_dict())
    assert (neck.strides, coarser.strides) == ((4, 8), (8, 16))
    for level, half in zip((first, second), coarser([fine, coarse]), strict=True):
        torch.testing.assert_close(half, level[..., ::2, ::2])


def test_fast_normalised_fusion_by_hand() -> None:
    fusion = Fusion(3, 1, norm="none")
    nn.init.dirac_(fusion.depthwise.weight)
    nn.init.ones_(fusion.get_parameter("pointwise.0.weight"))
    nn.init.zeros_(fusion.get_parameter("pointwise.0.bias"))
    fusion.weight.data.copy_(torch.tensor([1.0, 3.0, -2.0]))
    total = (1 * 5 + 3 * 9) / (4 + 1e-4)
    found = fusion(*(torch.full((1, 1, 1, 1), v) for v in (5.0, 9.0, 7.0)))
    torch.testing.assert_close(found.flatten(), F.silu(torch.tensor([total])))


class Sum(nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.stack(inputs).sum(0)


def test_a_two_way_pass_by_hand() -> None:
    """Sums in the place of weighted means show who is connected with whom (arXiv 1911.09070, figure 3)."""
    layer = TwoWay(4, 1, norm="bn")
    for fusions in (layer.up, layer.down):
        for n in range(3):
            fusions[n] = Sum()
    first = [torch.full((1, 1, 2 ** (3 - n), 2 ** (3 - n)), 10.0**n) for n in range(4)]
    second = [2 * x for x in first]
    up = [1111.0, 1110, 1100]
    p3 = up[0]
    p4 = 2 * 10 + up[1] + p3
    p5 = 2 * 100 + up[2] + p4
    p6 = 2 * 1000 + p5
    assert [x.unique().tolist() for x in layer(first, second)] == [[p3], [p4], [p5], [p6]]


def test_bifpn_pools_its_coarse_levels_from_the_backbone() -> None:
    neck = BiFPN(channels=3, layers=0 + 1).build(CHANNELS, STRIDES)
    assert len(neck.lateral) == 4, "three levels, and the coarsest once more"  # type: ignore[arg-type]
    assert len(neck.lateral_down) == 2, "middle levels are seen through another convolution on the way back"  # type: ignore[arg-type]
    assert {m.eps for m in neck.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-3}
    parameters = sum(p.numel() for p in BiFPN(channels=64).build((40, 112, 320), STRIDES).parameters())
    laterals = sum(c * 64 + 2 * 64 for c in (40, 112, 320, 320, 112, 320))
    fusions = 8 * (9 * 64 + 64 * 64 + 2 * 64) + 4 * 2 + 3 * 3 + 2
    assert parameters == laterals + 3 * fusions


@pytest.mark.parametrize(
    ("config", "strides", "sentence"),
    [
        (
            FPN(),
            (8, 16, 30),
            "neck fpn: needs levels whose stride doubles, got strides [8, 16, 30]; change backbone.out",
        ),
        (
            BiFPN(levels=2),
            STRIDES,
            "neck.levels: must be >= 3, as many as the backbone gives, got 2; raise it, or change backbone.out",
        ),
    ],
)
def test_what_cannot_be(config: necks.Neck, strides: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        config.build(CHANNELS, strides)
    assert str(error.value) == sentence
