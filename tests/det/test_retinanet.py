"""RetinaNet beside torchvision's, and its rules worked out by hand."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import torch
from torch import nn
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.retinanet import RetinaNet as Theirs
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from vf.backbones import ResNet
from vf.necks import FPN
from vf.resizing import Resize
from vf.testing import INFO, check_detector
from vf_det.dense.detector import Targets
from vf_det.dense.heads import Output
from vf_det.dense.retinanet import RetinaNet, RetinaRules
from vf_det.dense_configs import RetinaNet as Config
from vf_det.matching import BACKGROUND, IGNORED

SIZE = (96, 160)
RESIZE = Resize(short=96, long=160, mean=(127.5, 127.5, 127.5), std=(63.75, 63.75, 63.75))
TWO = ([[8.3, 8.1, 40.2, 40.9], [50.7, 10.4, 130.2, 80.6]], [[20.5, 20.3, 60.1, 90.7], [5.2, 3.1, 18.3, 14.9]])


def tiny(**keys: Any) -> RetinaNet:
    """Build on a ResNet-18 for small images."""
    torch.manual_seed(0)
    config = Config(**{"backbone": ResNet(depth=18, out=(2, 3, 4)), "resize": RESIZE, **keys})
    model = config.build(INFO)
    assert isinstance(model, RetinaNet)
    return model


def copied(other: Theirs, model: RetinaNet) -> None:
    """Fill our model with torchvision's weights."""
    names = {
        "backbone.body": "backbone",
        "backbone.fpn.inner_blocks": "neck.fpn.inner_blocks",
        "backbone.fpn.layer_blocks": "neck.fpn.layer_blocks",
        "backbone.fpn.extra_blocks.p6": "neck.extra.0.0",
        "backbone.fpn.extra_blocks.p7": "neck.extra.1.1",
        "head.classification_head.conv": "head.class_tower",
        "head.classification_head.cls_logits": "head.classes",
        "head.regression_head.conv": "head.box_tower",
        "head.regression_head.bbox_reg": "head.boxes",
    }
    weights = {}
    for name, value in other.state_dict().items():
        prefix = next(p for p in names if name.startswith(p + "."))
        weights[names[prefix] + name.removeprefix(prefix)] = value
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert set(missing) == {"preprocess.mean", "preprocess.std"}


@pytest.fixture(scope="module")
def pair(detection: Any) -> tuple[RetinaNet, Theirs]:
    """Ours and torchvision's with the same weights."""
    torch.manual_seed(0)
    extra = LastLevelP6P7(256, 256)
    body = resnet_fpn_backbone(
        backbone_name="resnet18", weights=None, returned_layers=[2, 3, 4], extra_blocks=extra, trainable_layers=5
    )
    keys = {"image_mean": [0.5] * 3, "image_std": [0.25] * 3, "score_thresh": 0.02, "detections_per_img": 60}
    other = Theirs(body, num_classes=3, min_size=96, max_size=160, **keys)
    detection.loosen(other.head.classification_head.cls_logits, other.head.regression_head.bbox_reg)
    model = tiny(
        backbone=ResNet(depth=18, out=(2, 3, 4), norm="frozen_bn"),
        neck=FPN(extra="conv_out", extra_relu=True),
        grid="torchvision",
        score_threshold=0.02,
        max_detections=60,
    )
    copied(other, model)
    return model, other


@torch.no_grad()
def test_predictions_are_those_of_torchvision(pair: tuple[RetinaNet, Theirs], detection: Any) -> None:
    batch = detection.batch([], [], size=SIZE)
    model, other = (m.eval() for m in pair)
    detection.assert_same(model(batch), detection.of_torchvision(other, batch))


@pytest.mark.parametrize("kind", ["l1", "giou"])
@torch.no_grad()
def test_losses_are_those_of_torchvision(pair: tuple[RetinaNet, Theirs], detection: Any, kind: str) -> None:
    """torchvision divides by the positives of each image, we by those of the batch."""
    model, other = (m.train() for m in pair)
    model.rules = RetinaRules(box_loss=kind)
    other.head.regression_head._loss_type = kind
    singles = []
    for boxes in TWO:
        batch = detection.batch(boxes, size=SIZE)
        own, losses = detection.of_torchvision(other, batch), model(batch)
        torch.testing.assert_close(losses["loss_cls"], own["classification"], atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(losses["loss_box"], own["bbox_regression"], atol=1e-4, rtol=1e-5)
        singles.append(losses)
    both = detection.batch(*TWO, size=SIZE)
    both.images[:] = detection.batch([], size=SIZE).images  # what each saw alone
    both.targets["labels"] = torch.tensor([0, 1, 0, 1])
    losses, counts = model(both), torch.stack([s["_num_pos"] for s in singles])
    for name in ("loss_cls", "loss_box"):
        mean = (torch.stack([s[name] for s in singles]) * counts).sum() / counts.sum()
        torch.testing.assert_close(losses[name], mean, atol=1e-4, rtol=1e-5)


class Said(nn.Module):
    """Stands for the head and says what it was told."""

    def __init__(self, images: int, grids: list[tuple[int, int]], anchors: int = 1) -> None:
        super().__init__()
        cells = [h * w * anchors for h, w in grids]
        self.said = Output(
            [torch.full((images, n, 3), -20.0) for n in cells], [torch.zeros(images, n, 4) for n in cells], grids
        )

    def forward(self, levels: Any) -> Output:
        return self.said


def simple() -> RetinaNet:
    """One square anchor of a stride's side at a cell: strides 8, 16, 32 on an image of 64×64."""
    return tiny(
        neck=FPN(channels=8, levels=3, extra="conv_in"),
        resize=Resize(short=64, long=64),
        anchor_scale=1.0,
        anchor_scales=1,
        anchor_ratios=(1.0,),
        head_depth=0,
    )


def learnt(model: RetinaNet, batch: Any) -> Targets:
    anchors = torch.cat(model.anchors([(8, 8), (4, 4), (2, 2)], (64, 64)))
    targets: Targets = model._targets(anchors, batch)
    return targets


def test_what_anchors_learn(detection: Any) -> None:
    """Anchors lie around the corners of cells: that of level 0, row 2, column 3 is 20..28 × 12..20."""
    model = simple()
    #  fits an anchor of stride 8 | half of one: IoU 0.5 | a little less: 0.4375, but nothing fits it better
    boxes = [[20.0, 12.0, 28.0, 20.0], [36.0, 12.0, 40.0, 20.0], [52.0, 52.0, 55.5, 60.0]]
    targets = learnt(model, detection.batch(boxes, [], size=(64, 64)))
    assert targets.labels.shape == (2, 64 + 16 + 4)
    assert {int(i): int(targets.labels[0, i]) for i in (targets.labels[0] != BACKGROUND).nonzero()} == {
        2 * 8 + 3: 0,
        2 * 8 + 5: 1,
        7 * 8 + 7: 2,
    }
    assert (targets.labels[1] == BACKGROUND).all()
    assert targets.positive.tolist() == [19, 21, 63]
    assert targets.boxes.tolist() == boxes


def test_between_the_two_limits_an_anchor_does_not_count(detection: Any) -> None:
    """An object over two anchors: 20..28 by 5 of 8 columns, 28..36 by 4.5: IoU 5 / 12.5 is the object's best."""
    model = simple()
    targets = learnt(model, detection.batch([[23.0, 12.0, 32.5, 20.0]], size=(64, 64)))
    assert targets.labels[0, 19].item() == 0  # 40 / (64 + 76 - 40) = 0.4, the best
    assert targets.labels[0, 20].item() == BACKGROUND  # 36 / 104 = 0.346
    model.rules = RetinaRules(negative=0.3)
    targets = learnt(model, detection.batch([[23.0, 12.0, 32.5, 20.0]], size=(64, 64)))
    assert targets.labels[0, 20].item() == IGNORED


def test_anchors_of_a_new_model_are_those_of_the_paper() -> None:
    config = Config()
    assert config.sizes(8) == pytest.approx((32, 40.317, 50.797), abs=1e-3)
    assert Config(grid="torchvision").sizes(8) == (32.0, 40.0, 50.0)


@pytest.mark.parametrize("boxes", [([], []), ([],), ([[8.0, 8.0, 9.0, 9.0]], [])])
def test_every_parameter_gets_a_gradient(detection: Any, boxes: Any) -> None:
    model = tiny()
    losses = model(detection.batch(*boxes, size=SIZE))
    detection.total(losses).backward()
    assert set(losses) == {"loss_cls", "loss_box", "_num_pos"}
    assert all(value.isfinite() and value.ndim == 0 and value.dtype == torch.float32 for value in losses.values())
    assert detection.without_gradient(model) == []


def test_crowd_and_difficult_objects_teach_nothing(detection: Any) -> None:
    model = tiny().eval()  # batch norms leave the images alone
    model.training = True
    none = model(detection.batch([], [], size=SIZE))
    for key in ("iscrowd", "difficult"):
        same = model(detection.batch(*TWO, size=SIZE, **{key: torch.ones(4, dtype=torch.bool)}))
        torch.testing.assert_close(same, none)


def test_frozen_stages_get_no_gradient(detection: Any) -> None:
    model = tiny(backbone=ResNet(depth=18, out=(2, 3, 4), frozen_stages=1, norm_eval=True))
    detection.total(model(detection.batch(*TWO, size=SIZE))).backward()
    frozen = [name for name, p in model.named_parameters() if p.grad is None]
    assert {name.split(".")[1] for name in frozen} == {"conv1", "bn1", "layer1"}


@torch.no_grad()
def test_nothing_above_the_threshold(detection: Any) -> None:
    first, second = tiny(score_threshold=0.99).eval()(detection.batch([], [], size=SIZE))
    assert first["boxes"].shape == second["boxes"].shape == (0, 4)
    assert first["labels"].dtype == torch.int64


@torch.no_grad()
def test_candidates_of_a_level_and_the_frame_of_the_image(detection: Any) -> None:
    model = simple().eval()
    model.head = said = Said(1, [(8, 8), (4, 4), (2, 2)])
    for level, cell, label, logit in ((0, 19, 0, 2.0), (0, 21, 1, 1.0), (0, 23, 2, 0.5), (2, 3, 0, 0.0)):
        said.said.classes[level][0, cell, label] = logit
    batch = detection.batch([], size=(64, 64))
    batch.original = torch.tensor([[128, 192]])
    batch.sizes = torch.tensor([[64, 40]])
    model.choice = attrs.evolve(model.choice, candidates=2)
    (found,) = model(batch)
    assert found["labels"].tolist() == [0, 1, 0]
    assert found["scores"].tolist() == pytest.approx([0.880797, 0.731059, 0.5], abs=1e-6)
    # 40 px wide in the network's frame, 192 as decoded: 20..28 × 12..20; 36..44 is cut; 16..48 too.
    wanted = [[96.0, 24.0, 134.4, 40.0], [172.8, 24.0, 192.0, 40.0], [76.8, 32.0, 192.0, 96.0]]
    torch.testing.assert_close(found["boxes"], torch.tensor(wanted))


def test_contract() -> None:
    check_detector(Config(backbone=ResNet(depth=18, out=(2, 3, 4)), resize=RESIZE, score_threshold=0.01))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"positive_iou": 0.3}, "negative_iou 0.4 > positive_iou 0.3"),
        ({"anchor_ratios": ()}, "anchor_ratios: must have at least 1 item, got none"),
        ({"anchor_ratios": (0.0,)}, "must be > 0, got 0.0"),
        ({"score_threshold": 1.5}, "must be from 0 to 1, got 1.5"),
        ({"candidates": 0}, "must be > 0, got 0"),
    ],
)
def test_a_wrong_key_says_what_was_expected(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        Config(**keys)
    assert str(error.value) == message


def test_the_engine_finds_what_the_model_can(detection: Any) -> None:
    model = tiny(resize=Resize(short=64, long=96))
    assert (model.input_stride, model.nms_iou, model.max_detections) == (32, 0.5, 100)
    said: list[str] = []
    model.load_pretrained(said.append)
    assert said == []
    tta = model.eval().with_tta(scales=(1.0, 1.5), flip=True)
    with torch.no_grad():
        assert len(tta(detection.batch([], size=(96, 144)))) == 1
