"""Small R-CNNs, torchvision's with the same weights, and batches for both."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

from vf.backbones import ResNet
from vf.data.sample import Batch
from vf.necks import FPN
from vf.protocols import DatasetInfo
from vf_det import rcnn_configs
from vf_det.rcnn.model import RCNN

SIZE = (64, 128)
BOXES = ([[8.0, 8.0, 60.0, 50.0], [70.0, 20.0, 120.0, 60.0]], [[40.0, 10.0, 70.0, 60.0]])


def info(classes: int = 3) -> DatasetInfo:
    """Facts of a data set of so many classes."""
    names = tuple(f"c{i}" for i in range(classes))
    return DatasetInfo(classes=names, task="det", num_samples={"train": 2}, fingerprint="x")


def tiny(kind: str = "FasterRCNN", *, seed: int = 0, classes: int = 3, **keys: Any) -> RCNN:
    """Build a detector on a ResNet-18 with narrow heads and few examples, unless told otherwise."""
    torch.manual_seed(seed)
    cls = getattr(rcnn_configs, kind)
    head = rcnn_configs.CascadeHead if kind == "CascadeRCNN" else rcnn_configs.Head
    given: dict[str, Any] = {
        "backbone": ResNet(depth=18, norm="frozen_bn"),
        "neck": FPN(channels=32),
        "head": head(hidden=64, samples=64),
    }
    if kind != "FasterRCNN":
        given["mask_head"] = rcnn_configs.MaskHead(hidden=32)
    given |= keys
    model = cls(**given).build(info(classes))
    assert isinstance(model, RCNN)
    return model


def batch_of(
    *boxes: list[list[float]],
    size: tuple[int, int] = SIZE,
    classes: int = 3,
    masks: bool = False,
    original: tuple[int, int] | None = None,
    **targets: Tensor,
) -> Batch:
    """Noise with the given boxes in each image; masks are the ellipses in them."""
    counts = tuple(len(b) for b in boxes)
    rows = torch.tensor([row for image in boxes for row in image]).reshape(-1, 4)
    n, g = len(boxes), torch.Generator().manual_seed(7)
    if masks:
        targets["masks"] = ellipses(rows, size)
    return Batch(
        images=torch.randint(0, 256, (n, 3, *size), dtype=torch.uint8, generator=g),
        sizes=torch.tensor([size] * n),
        original=torch.tensor([original or size] * n),
        ids=tuple(str(i) for i in range(n)),
        targets={"boxes": rows, "labels": torch.arange(len(rows)) % classes, **targets},
        counts=dict.fromkeys(("boxes", "labels", *targets), counts),
    )


def ellipses(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw the largest ellipse of each box, bool [N,H,W]."""
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    across = (x - centre[:, 0, None, None]) / half[:, 0, None, None]
    down = (y - centre[:, 1, None, None]) / half[:, 1, None, None]
    return across**2 + down**2 <= 1


def total(terms: dict[str, Tensor]) -> Tensor:
    """Add what is minimised."""
    return torch.stack([v for k, v in terms.items() if not k.startswith("_")]).sum()


def torchvisions(*, masks: bool = False, **keys: Any) -> nn.Module:
    """Build torchvision's detector on a ResNet-18 for three classes, with random weights of some size."""
    torch.manual_seed(3)
    backbone = resnet_fpn_backbone(backbone_name="resnet18", weights=None, trainable_layers=5)
    cls = MaskRCNN if masks else FasterRCNN
    model: nn.Module = cls(backbone, num_classes=4, min_size=SIZE[0], max_size=SIZE[1], **keys)
    for name, parameter in model.named_parameters():
        # As they begin, every score is a fourth and every delta 0.
        if name.endswith("weight") and ("cls" in name or "bbox_pred" in name or "logits" in name):
            parameter.data.normal_(std=0.05)
    return model


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the names and rows of torchvision's weights into ours."""
    names = {
        "backbone.body.": "backbone.",
        "backbone.fpn.": "neck.fpn.",
        "rpn.head.conv.0.0.": "rpn.head.conv.",
        "rpn.head.cls_logits.": "rpn.head.objects.",
        "rpn.head.bbox_pred.": "rpn.head.boxes.",
        "roi_heads.box_head.fc6.": "stages.0.fcs.0.",
        "roi_heads.box_head.fc7.": "stages.0.fcs.1.",
        "roi_heads.box_predictor.cls_score.": "stages.0.classes.",
        "roi_heads.box_predictor.bbox_pred.": "stages.0.boxes.",
        "roi_heads.mask_predictor.conv5_mask.": "masks.0.up.",
        "roi_heads.mask_predictor.mask_fcn_logits.": "masks.0.classes.",
    }
    names |= {f"roi_heads.mask_head.{n}.0.": f"masks.0.convs.{n}." for n in range(4)}
    out = {}
    for name, tensor in state.items():
        old = next(prefix for prefix in names if name.startswith(prefix))
        if "cls_score" in name:  # their background is the first class
            tensor = tensor.roll(-1, 0)
        elif "box_predictor.bbox_pred" in name:
            tensor = tensor[4:]
        elif "mask_fcn_logits" in name:
            tensor = tensor[1:]
        out[names[old] + name.removeprefix(old)] = tensor
    return out


@attrs.frozen
class Cases:
    """The above, for tests."""

    size = SIZE
    boxes = BOXES
    tiny = staticmethod(tiny)
    batch_of = staticmethod(batch_of)
    ellipses = staticmethod(ellipses)
    total = staticmethod(total)
    torchvisions = staticmethod(torchvisions)
    renamed = staticmethod(renamed)


@pytest.fixture(scope="session")
def cases() -> Cases:
    """Small R-CNNs, torchvision's, and batches for both."""
    return Cases()
