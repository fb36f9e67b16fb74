"""YOLOX as a whole: sizes, training, prediction in the frame of the decoded image, folding."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.protocols import DatasetInfo
from vf_det import model_configs
from vf_det.yolox.head import Cells, Output, encode
from vf_det.yolox.model import YOLOX

SIZE = (64, 96)
CELLS = Cells.of(((8, 12), (4, 6), (2, 3)), device=torch.device("cpu"))
COUNT = 126


def info(*, classes: int = 3) -> DatasetInfo:
    return DatasetInfo(
        classes=tuple(f"c{i}" for i in range(classes)), task="det", num_samples={"train": 2}, fingerprint="x"
    )


def tiny(*, classes: int = 3, seed: int = 0, **keys: Any) -> YOLOX:
    torch.manual_seed(seed)
    config = model_configs.YOLOX(**{"depth": 0.33, "width": 0.125, "size": SIZE, **keys})
    model = config.build(info(classes=classes))
    assert isinstance(model, YOLOX)
    return model


def batch_of(*boxes: list[list[float]], classes: int = 3, **targets: Tensor) -> Batch:
    """Noise with the given boxes in each image."""
    counts = tuple(len(b) for b in boxes)
    rows = [row for image in boxes for row in image]
    n = len(boxes)
    g = torch.Generator().manual_seed(7)
    return Batch(
        images=torch.randint(0, 256, (n, 3, *SIZE), dtype=torch.uint8, generator=g),
        sizes=torch.tensor([SIZE] * n),
        original=torch.tensor([SIZE] * n),
        ids=tuple(str(i) for i in range(n)),
        targets={
            "boxes": torch.tensor(rows).reshape(-1, 4),
            "labels": torch.arange(len(rows)) % classes,
            **targets,
        },
        counts=dict.fromkeys(("boxes", "labels", *targets), counts),
    )


TWO = ([[8.0, 8.0, 40.0, 40.0], [50.0, 10.0, 80.0, 60.0]], [[20.0, 20.0, 30.0, 50.0]])


def total(terms: dict[str, Tensor]) -> Tensor:
    return torch.stack([v for k, v in terms.items() if not k.startswith("_")]).sum()


@pytest.mark.parametrize(
    ("depth", "width", "depthwise", "millions"),
    [
        (0.33, 0.25, True, 0.91),
        (0.33, 0.375, False, 5.06),
        (0.33, 0.5, False, 9.0),
        (0.67, 0.75, False, 25.3),
        (1.0, 1.0, False, 54.2),
        (1.33, 1.25, False, 99.1),
    ],
    ids=["nano", "tiny", "s", "m", "l", "x"],
)
def test_as_many_parameters_as_published(depth: float, width: float, depthwise: bool, millions: float) -> None:
    with torch.device("meta"):
        model = model_configs.YOLOX(depth=depth, width=width, depthwise=depthwise).build(info(classes=80))
    count = sum(p.numel() for p in model.parameters()) / 1e6
    assert round(count, 2 if millions < 9 else 1) == millions


@pytest.mark.parametrize("depthwise", [False, True])
def test_one_prediction_for_each_cell(depthwise: bool) -> None:
    output = tiny(depthwise=depthwise).predict_cells(torch.zeros(2, 3, *SIZE))
    assert output.boxes.shape == (2, COUNT, 4)
    assert output.objects.shape == (2, COUNT)
    assert output.classes.shape == (2, COUNT, 3)
    assert output.cells.shapes == CELLS.shapes


def test_a_new_head_says_one_percent() -> None:
    output = tiny().eval().predict_cells(torch.zeros(1, 3, *SIZE))
    assert output.objects.sigmoid().mean().item() == pytest.approx(0.01, rel=0.3)


@pytest.mark.parametrize("classes", [1, 3])
def test_losses(classes: int) -> None:
    terms = tiny(classes=classes)(batch_of(*TWO, classes=classes))
    assert set(terms) == {"loss_box", "loss_obj", "loss_cls", "_num_pos"}
    assert all(v.shape == () and v.dtype == torch.float32 and v.isfinite() for v in terms.values())
    assert terms["_num_pos"] >= 3


def test_the_final_phase_adds_l1() -> None:
    model = tiny()
    model.begin_final_phase()
    model.begin_final_phase()  # the engine calls it again on resume
    terms = model(batch_of(*TWO))
    assert terms["loss_l1"] > 0


@pytest.mark.parametrize("boxes", [([], []), ([], [[20.0, 20.0, 30.0, 50.0]])])
def test_images_without_objects(boxes: tuple[list[list[float]], ...]) -> None:
    model = tiny()
    model.begin_final_phase()
    terms = model(batch_of(*boxes))
    total(terms).backward()
    assert all(v.isfinite() for v in terms.values())
    # Every parameter takes part, so that DDP waits for none.
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_crowd_regions_are_no_objects() -> None:
    crowd = torch.tensor([True, False, True])
    with_crowd = tiny()(batch_of(*TWO, iscrowd=crowd))
    without = batch_of([[50.0, 10.0, 80.0, 60.0]], [])
    without.targets["labels"] = torch.tensor([1])
    torch.testing.assert_close(with_crowd, tiny()(without))


def test_it_learns_a_batch() -> None:
    model, batch = tiny(), batch_of(*TWO)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002)
    values = []
    for _ in range(50):
        optimizer.zero_grad()
        loss = total(model(batch))
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-3:]) < 0.5 * sum(values[:3])


def test_the_same_seed_gives_the_same_gradients() -> None:
    grads = []
    for _ in range(2):
        model = tiny()
        total(model(batch_of(*TWO))).backward()
        grads.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True) if a is not None and b is not None)


def test_losses_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = tiny()(batch_of(*TWO))
    assert {v.dtype for v in terms.values()} == {torch.float32}


class Said(nn.Module):
    """Stands for the head and says what it was told."""

    def __init__(self, *, images: int = 1, classes: int = 3) -> None:
        super().__init__()
        self.output = Output(
            torch.zeros(images, COUNT, 4),
            torch.full((images, COUNT), -20.0),
            torch.full((images, COUNT, classes), -20.0),
            CELLS,
        )

    def say(self, *, cell: int, box: list[float], label: int, logit: float, image: int = 0) -> None:
        self.output.boxes[image, cell] = encode(torch.tensor(box), CELLS.take(torch.tensor(cell)))
        self.output.objects[image, cell] = logit
        self.output.classes[image, cell, label] = 20.0

    def forward(self, _: object) -> Output:
        return self.output


def predict(said: Said, batch: Batch, **keys: Any) -> list[dict[str, Tensor]]:
    model = tiny(**keys).eval()
    model.head = said
    predictions: list[dict[str, Tensor]] = model(batch)
    return predictions


def test_boxes_come_back_in_the_frame_of_the_decoded_image() -> None:
    batch = batch_of([])
    batch.sizes = torch.tensor([[40, 96]])
    batch.original = torch.tensor([[120, 192]])  # three times as high, twice as wide
    said = Said()
    said.say(cell=0, box=[8.0, 4.0, 24.0, 20.0], label=2, logit=0.0)
    said.say(cell=1, box=[-5.0, 30.0, 100.0, 60.0], label=1, logit=1.0)
    said.say(cell=2, box=[10.0, 42.0, 20.0, 60.0], label=0, logit=2.0)  # inside the padding
    (prediction,) = predict(said, batch)
    assert torch.allclose(
        prediction["boxes"], torch.tensor([[0.0, 90.0, 192.0, 120.0], [16.0, 12.0, 48.0, 60.0]]), atol=1e-4
    )
    assert prediction["scores"].tolist() == pytest.approx([0.731059, 0.5], abs=1e-5)
    assert prediction["labels"].tolist() == [1, 2]
    assert [prediction[k].dtype for k in ("boxes", "scores", "labels")] == [
        torch.float32,
        torch.float32,
        torch.int64,
    ]


def test_suppression_within_a_class_only() -> None:
    said = Said()
    said.say(cell=0, box=[8.0, 4.0, 24.0, 20.0], label=0, logit=1.0)
    said.say(cell=1, box=[8.0, 4.0, 24.0, 21.0], label=0, logit=0.5)
    said.say(cell=2, box=[8.0, 4.0, 24.0, 21.0], label=1, logit=0.0)
    (prediction,) = predict(said, batch_of([]))
    assert prediction["labels"].tolist() == [0, 1]
    assert prediction["scores"].tolist() == pytest.approx([0.731059, 0.5], abs=1e-5)


def test_threshold_and_limit() -> None:
    said = Said()
    for i, logit in enumerate((0.0, 2.0, 1.0, -2.0)):
        said.say(cell=i, box=[20.0 * i, 4.0, 20.0 * i + 10, 20.0], label=0, logit=logit)
    (prediction,) = predict(said, batch_of([]), score_threshold=0.2, max_detections=2)
    assert prediction["boxes"][:, 0].tolist() == pytest.approx([20.0, 40.0], abs=1e-4)
    (prediction,) = predict(said, batch_of([]), score_threshold=0.2)
    assert len(prediction["scores"]) == 3


def test_images_of_a_batch_keep_apart_and_may_be_empty() -> None:
    said = Said(images=3)
    said.say(cell=0, box=[8.0, 4.0, 24.0, 20.0], label=0, logit=1.0, image=2)
    said.say(cell=0, box=[8.0, 4.0, 24.0, 20.0], label=0, logit=1.0, image=0)
    predictions = predict(said, batch_of([], [], []))
    assert [len(p["boxes"]) for p in predictions] == [1, 0, 1]
    assert predictions[1]["boxes"].shape == (0, 4)
    assert predictions[1]["labels"].dtype == torch.int64


def test_the_model_promises_its_pixel_rules() -> None:
    rules = tiny().preprocess
    assert (rules.size, rules.pad_value, rules.bgr, rules.identity) == (SIZE, 114, True, True)


def test_folding_changes_nothing() -> None:
    model = tiny(depthwise=True)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    before = copy.deepcopy(model.state_dict())
    fused = model.fuse()
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        ours, theirs = fused.predict_cells(images), model.eval().predict_cells(images)
    for name in ("boxes", "objects", "classes"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_fused_recipe_takes_fused_weights_and_trains() -> None:
    direct = tiny(fused=True, seed=1)
    direct.load_state_dict(tiny().fuse().state_dict())
    total(direct(batch_of(*TWO))).backward()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"size": (640, 600)}, "must be a multiple of 32 (the coarsest stride), got 600"),
        ({"size": (0, 640)}, "must be a multiple of 32 (the coarsest stride), got 0"),
        ({"size": (640,)}, "must have 2 items, got 1"),
        ({"depth": 0.0}, "must be > 0, got 0.0"),
        ({"width": 0.1}, "must be >= 0.125, got 0.1"),
        ({"nms_iou": 1.5}, "must be from 0 to 1, got 1.5"),
        ({"max_detections": 0}, "must be >= 1, got 0"),
    ],
)
def test_a_wrong_key_says_what_was_expected(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match="must") as error:
        model_configs.YOLOX(**keys)
    assert str(error.value) == message
