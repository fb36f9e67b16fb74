"""Backbones for segmentation: dilated ResNets, deep stems, HRNet with bilinear upsampling."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from vf.backbones import HRNet, ResNet
from vf.testing import check_backbone


@pytest.mark.parametrize(
    "config",
    [
        ResNet(depth=18, dilate=8, stem="deep", frozen_stages=1),
        ResNet(depth=50, dilate=16, out=(1, 4)),
        ResNet(depth=50, dilate=8, style="caffe", out=(3, 4)),
        HRNet(upsample="bilinear"),
    ],
    ids=["18 d8 deep", "50 d16", "50 d8 caffe", "hrnet"],
)
def test_they_keep_the_contract(config: ResNet | HRNet) -> None:
    check_backbone(config)


@pytest.mark.parametrize(("dilate", "replaced"), [(8, [False, True, True]), (16, [False, False, True])])
def test_dilated_levels_are_torchvisions(dilate: int, replaced: list[bool]) -> None:
    torch.manual_seed(0)
    theirs = resnet50(replace_stride_with_dilation=replaced).eval()
    ours = ResNet(depth=50, dilate=dilate).build().eval()  # type: ignore[arg-type]
    ours.load_state_dict({k: v for k, v in theirs.state_dict().items() if not k.startswith("fc")})
    images = torch.randn(1, 3, 70, 90)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(images))))
    with torch.no_grad():
        for level, stage in zip(
            ours(images), (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4), strict=True
        ):
            x = stage(x)
            assert torch.equal(level, x)


def test_a_basic_block_dilates_its_first_convolution_alone() -> None:
    stage = ResNet(depth=18, dilate=8).build().get_submodule("layer4")
    rates = {name: conv.dilation[0] for name, conv in stage.named_modules() if isinstance(conv, nn.Conv2d)}
    assert rates == {"0.conv1": 2, "0.conv2": 1, "0.downsample.0": 1, "1.conv1": 4, "1.conv2": 1}


def test_a_deep_stem_has_three_convolutions() -> None:
    stem = ResNet(depth=18, stem="deep").build().get_submodule("stem")
    shapes = [tuple(conv.weight.shape) for conv in stem.children() if isinstance(conv, nn.Conv2d)]
    assert shapes == [(32, 3, 3, 3), (32, 32, 3, 3), (64, 32, 3, 3)]
    assert ResNet(depth=50, stem="deep", pretrained="imagenet").address().endswith("resnet50_v1c-2cccc1ad.pth")
    sentence = (
        "pretrained imagenet: nobody has published a deep stem for style pytorch, depth 34, groups 1, "
        "width_per_group 64; name a file or an address"
    )
    with pytest.raises(ValueError, match=sentence):
        ResNet(depth=34, stem="deep", pretrained="imagenet")


def test_hrnet_upsamples_as_asked() -> None:
    torch.manual_seed(0)
    near, smooth = HRNet().build().eval(), HRNet(upsample="bilinear").build().eval()
    smooth.load_state_dict(near.state_dict())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.equal(near(images)[0], smooth(images)[0])
