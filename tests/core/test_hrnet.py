"""HRNet: parameters and names of the published nets, and the exchange between resolutions by hand."""

from __future__ import annotations

import itertools
import re

import pytest
import torch
from torch import Tensor, nn

from vf import backbones, necks
from vf.nn.backbones.hrnet import Exchange, HRNet
from vf.weights import init_from

HEAD = {18: 11_736_744, 32: 11_927_144, 40: 12_035_944, 48: 12_144_744}
"""Parameters of the published classification head, see :func:`head`."""


def bottleneck(inputs: int, width: int) -> int:
    """Parameters of a bottleneck with four times ``width`` channels and a shortcut convolution, norms included."""
    out = 4 * width
    convs = inputs * width + 9 * width * width + width * out + inputs * out
    return convs + 2 * (width + width + out + out)


def head(width: int) -> int:
    """Parameters of the head of the authors' classification nets (arXiv 1908.07919, figure 4 of the appendix)."""
    widths = (128, 256, 512, 1024)
    grow = sum(bottleneck(width * 2**n, w // 4) for n, w in enumerate(widths))
    down = sum(9 * a * b + b + 2 * b for a, b in itertools.pairwise(widths))
    final = 1024 * 2048 + 2048 + 2 * 2048
    return grow + down + final + 2048 * 1000 + 1000


@pytest.mark.parametrize(("width", "published"), [(18, 21.3), (32, 41.2), (40, 57.6), (48, 77.5)])
def test_parameters_are_those_of_the_published_nets(width: int, published: float) -> None:
    with torch.device("meta"):
        net = HRNet(width=width)
    own = sum(p.numel() for p in net.parameters())
    assert own == {18: 9_562_260, 32: 29_305_536, 40: 45_521_216, 48: 65_325_120}[width]
    assert head(width) == HEAD[width]
    assert round((own + head(width)) / 1e6, 1) == published


def test_names_of_tensors_are_those_of_published_weights() -> None:
    with torch.device("meta"):
        names = set(HRNet().state_dict())
    assert len(names) == 1830
    for name in (
        "conv1.weight",
        "bn2.running_var",
        "layer1.0.downsample.0.weight",
        "layer1.3.bn3.bias",
        "transition1.0.0.weight",
        "transition1.1.0.0.weight",
        "transition2.2.0.1.weight",
        "transition3.3.0.0.weight",
        "stage2.0.branches.0.0.conv1.weight",
        "stage2.0.fuse_layers.0.1.0.weight",
        "stage2.0.fuse_layers.1.0.0.0.weight",
        "stage3.3.fuse_layers.2.0.0.0.weight",
        "stage3.3.fuse_layers.2.0.1.1.bias",
        "stage4.2.branches.3.3.bn2.num_batches_tracked",
        "stage4.2.fuse_layers.3.0.2.0.weight",
    ):
        assert name in names, name
    assert not [n for n in names if not re.match(r"(conv|bn)[12]\.|layer1\.|transition[123]\.|stage[234]\.", n)]


def test_published_weights_load_beside_their_head(tmp_path: object) -> None:
    source = HRNet()
    torch.save(
        {**source.state_dict(), "incre_modules.0.0.conv1.weight": torch.ones(1), "classifier.bias": torch.ones(1)},
        f"{tmp_path}/hrnetv2.pth",
    )
    net = HRNet(pretrained=f"{tmp_path}/hrnetv2.pth")
    lines: list[str] = []
    net.load_pretrained(lines.append)
    rest = "unused 2: incre_modules.0.0.conv1.weight, classifier.bias"
    assert lines == [f"backbone loaded 1525/1525 from {tmp_path}/hrnetv2.pth; {rest}"]
    assert init_from(HRNet(out=(1,)), f"{tmp_path}/hrnetv2.pth").startswith("loaded 1"), "fewer levels, fewer tensors"


def test_levels_and_odd_sizes() -> None:
    net = backbones.HRNet().build().eval()
    with torch.no_grad():
        assert [tuple(x.shape[1:]) for x in net(torch.randn(1, 3, 70, 96))] == [
            (18, 18, 24),
            (36, 9, 12),
            (72, 5, 6),
            (144, 3, 3),
        ]
        some = backbones.HRNet(out=(2, 4)).build().eval()
        names = set(some.state_dict())
        some.load_state_dict({n: t for n, t in net.state_dict().items() if n in names})
        x = torch.randn(1, 3, 64, 64)
        whole = net(x)
        for level, same in zip(some(x), (whole[1], whole[3]), strict=True):
            torch.testing.assert_close(level, same)
    assert (some.channels, some.strides) == ((36, 144), (8, 32))


def test_a_neck_takes_them() -> None:
    net = backbones.HRNet().build().eval()
    neck = necks.HRFPN().build(net.channels, net.strides).eval()
    with torch.no_grad():
        out = neck(net(torch.randn(1, 3, 64, 128)))
    assert [tuple(x.shape[1:]) for x in out] == [(256, 16 // 2**n, 32 // 2**n) for n in range(5)]
    assert neck.strides == (4, 8, 16, 32, 64)


def test_an_exchange_by_hand() -> None:
    """Two resolutions of one channel; the branches change nothing, every convolution multiplies."""
    exchange = Exchange([1, 1], [0, 1]).eval()
    exchange.branches = nn.ModuleList([nn.Identity(), nn.Identity()])
    for name, parameter in exchange.fuse_layers.named_parameters():
        if parameter.ndim == 4:  # of a 3×3 kernel, only the middle
            nn.init.zeros_(parameter)
            parameter.data[..., parameter.shape[2] // 2, parameter.shape[3] // 2] = (
                2.0 if name.startswith("0") else -3.0
            )
    fine = torch.tensor([[1.0, -9.0], [0.5, -1.0]]).view(1, 1, 2, 2)
    coarse = torch.tensor([[4.0]]).view(1, 1, 1, 1)
    scale = 1 / (1 + 1e-5) ** 0.5  # of a batch norm that knows nothing yet
    found: list[Tensor] = exchange([fine, coarse])
    torch.testing.assert_close(found[0].view(2, 2), torch.relu(fine.view(2, 2) + 2 * 4 * scale))
    torch.testing.assert_close(found[1].view(1), torch.relu(torch.tensor([4 - 3 * 1.0 * scale])))
