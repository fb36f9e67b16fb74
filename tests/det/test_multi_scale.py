"""YOLOX at input sizes that change: image and boxes go together, and nothing changes where the size does not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vf.data.sample import Batch
from vf.nn.preprocess import Letterbox
from vf.protocols import DatasetInfo
from vf_det import model_configs
from vf_det.yolox import model as module
from vf_det.yolox.assign import Objects, Pairs, assign
from vf_det.yolox.head import Output

SIZE = (64, 96)
BOX = (16.0, 8.0, 48.0, 40.0)


def tiny() -> module.YOLOX:
    torch.manual_seed(0)
    info = DatasetInfo(classes=("a", "b"), task="det", num_samples={"train": 1}, fingerprint="x")
    model = model_configs.YOLOX(depth=0.33, width=0.125, size=SIZE).build(info)
    assert isinstance(model, module.YOLOX)
    return model


def white_box() -> Batch:
    """A white rectangle on black, and its box; the image lacks 8 rows, which the model pads."""
    images = torch.zeros(1, 3, 56, 96, dtype=torch.uint8)
    images[..., 8:40, 16:48] = 255
    size = torch.tensor([[56, 96]])
    targets = {"boxes": torch.tensor([BOX]), "labels": torch.tensor([1])}
    return Batch(
        images=images, sizes=size, original=size, ids=("a",), targets=targets, counts=dict.fromkeys(targets, (1,))
    )


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((96, 160), (80 / 3, 12.0, 80.0, 60.0)),
        ((32, 64), (32 / 3, 4.0, 32.0, 20.0)),
        ((128, 96), (16.0, 16.0, 48.0, 80.0)),
    ],
)
def test_boxes_follow_the_image(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], box: tuple[float, ...]) -> None:
    seen: list[tuple[Output, Objects]] = []

    def spy(output: Output, objects: Objects) -> Pairs:
        seen.append((output, objects))
        return assign(output, objects)

    monkeypatch.setattr(module, "assign", spy)
    model, batch = tiny(), white_box()
    model.preprocess.train_size = size
    terms = model(batch)
    assert all(value.isfinite() for value in terms.values())
    ((output, objects),) = seen
    assert output.cells.shapes == tuple((size[0] // s, size[1] // s) for s in (8, 16, 32))
    assert objects.boxes[0].tolist() == pytest.approx(box, abs=1e-4)
    assert batch.targets["boxes"][0].tolist() == list(BOX), "the batch is not the model's to change"
    white = model.preprocess(batch.images, batch.sizes)[0, 0] > 127 + 114 / 2
    rows, columns = white.any(1).nonzero(), white.any(0).nonzero()
    edges = [columns.min().item(), rows.min().item(), columns.max().item() + 1, rows.max().item() + 1]
    assert edges == pytest.approx(box, abs=1.01)


@pytest.mark.parametrize("size", [None, SIZE])
def test_at_its_own_size_the_losses_are_bitwise_the_same(size: tuple[int, int] | None) -> None:
    def losses(*, scaled: bool) -> dict[str, Tensor]:
        model = tiny()
        if scaled:
            model.preprocess.train_size = size
        terms: dict[str, Tensor] = model(white_box())
        return terms

    before, after = losses(scaled=False), losses(scaled=True)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_prediction_keeps_its_size() -> None:
    model = tiny().eval()
    with torch.no_grad():
        before = model(white_box())
        model.preprocess.train_size = (96, 160)
        after = model(white_box())
    assert all(torch.equal(before[0][key], after[0][key]) for key in before[0])
    assert "train_size" not in "".join(model.state_dict())


def test_a_letterbox_pads_then_normalises_then_scales() -> None:
    box = Letterbox(size=(2, 2), pad_value=30, mean=(10.0,) * 3, std=(2.0,) * 3)
    box.train_size = (1, 1)
    out = box(torch.full((1, 3, 1, 2), 50, dtype=torch.uint8), torch.tensor([[1, 2]]))
    assert out.flatten().tolist() == [15.0] * 3  # a row of (50 - 10) / 2 and one of (30 - 10) / 2
    assert box.eval()(torch.full((1, 3, 2, 2), 50, dtype=torch.uint8), torch.tensor([[2, 2]])).shape == (1, 3, 2, 2)
