"""SimOTA: tables by hand, and a plain second implementation in loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vf_det.yolox.assign import Objects, Pairs, assign
from vf_det.yolox.head import STRIDES, Cells, Output, decode, encode

# A 64×64 input: 8×8 cells of 8 px (0..63), 4×4 of 16 px (64..79), 2×2 of 32 px (80..83).
SHAPES = ((8, 8), (4, 4), (2, 2))
CELLS = Cells.of(SHAPES, device=torch.device("cpu"))
COUNT = 84
BOX = [10.0, 10.0, 30.0, 30.0]
"""Its centre, (20, 20), lies in cell 2 + 2 * 8 = 18 of the finest map, 64 + 1 + 4 = 69 of the next, 80."""


def blank(*, images: int = 1, classes: int = 2) -> Output:
    """A head that predicts boxes of less than a pixel and knows nothing else."""
    boxes = torch.zeros(images, COUNT, 4)
    boxes[..., 2:] = -6.0
    return Output(boxes, torch.zeros(images, COUNT), torch.zeros(images, COUNT, classes), CELLS)


def teach(output: Output, *, cell: int, box: list[float], image: int = 0) -> None:
    output.boxes[image, cell] = encode(torch.tensor(box), CELLS.take(torch.tensor(cell)))


def objects(*rows: tuple[list[float], int, int]) -> Objects:
    """Rows of box, label, image."""
    return Objects(
        torch.tensor([r[0] for r in rows]).reshape(-1, 4),
        torch.tensor([r[1] for r in rows], dtype=torch.int64),
        torch.tensor([r[2] for r in rows], dtype=torch.int64),
    )


def listed(pairs: Pairs) -> list[tuple[int, int]]:
    return list(zip(pairs.cell.tolist(), pairs.object.tolist(), strict=True))


def test_no_objects_no_pairs() -> None:
    pairs = assign(blank(), objects())
    assert listed(pairs) == []
    assert pairs.iou.shape == (0,)


@pytest.mark.parametrize("cells", [[18], [18, 69, 80], [9, 11, 25, 27, 64, 74]])
def test_as_many_cells_as_the_iou_sum(cells: list[int]) -> None:
    output = blank()
    for cell in cells:
        teach(output, cell=cell, box=BOX)
    pairs = assign(output, objects((BOX, 0, 0)))
    assert listed(pairs) == [(cell, 0) for cell in cells]
    assert torch.allclose(pairs.iou, torch.ones(len(cells)), atol=1e-5)


def test_at_most_ten_cells() -> None:
    output = blank()
    for cell in range(COUNT):
        teach(output, cell=cell, box=BOX)
    # Ten IoU of a hair less than one may sum to 9.99….
    assert len(listed(assign(output, objects((BOX, 0, 0))))) in (9, 10)


def test_a_cell_beyond_the_neighbours_is_no_candidate() -> None:
    output = blank()
    teach(output, cell=20, box=BOX)  # two columns right of the centre's cell
    assert 20 not in assign(output, objects((BOX, 0, 0))).cell.tolist()


def test_one_cell_even_where_nothing_overlaps() -> None:
    output = blank()
    output.classes[0, 25, 0] = 4.0
    output.objects[0, 25] = 4.0
    output.boxes[..., :2] = 100.0  # every prediction far away
    assert listed(assign(output, objects((BOX, 0, 0)))) == [(25, 0)]


@pytest.mark.parametrize(("sure_of", "winner"), [(0, 0), (1, 1)])
def test_a_contested_cell_goes_to_the_cheaper_object(sure_of: int, winner: int) -> None:
    output = blank()
    teach(output, cell=18, box=BOX)
    output.classes[0, 18, sure_of] = 3.0
    assert listed(assign(output, objects((BOX, 0, 0), (BOX, 1, 0)))) == [(18, winner)]


def test_twins_leave_the_cell_to_the_first() -> None:
    output = blank()
    teach(output, cell=18, box=BOX)
    assert listed(assign(output, objects((BOX, 1, 0), (BOX, 1, 0)))) == [(18, 0)]


@pytest.mark.parametrize(
    ("box", "some"),
    [
        ([-60.0, -60.0, -40.0, -40.0], False),
        ([200.0, 10.0, 230.0, 30.0], False),
        ([-14.0, 10.0, 6.0, 30.0], True),  # centre 4 px left of the image: the first column is its neighbour
    ],
)
def test_a_centre_outside_the_image(box: list[float], some: bool) -> None:
    assert bool(listed(assign(blank(), objects((box, 0, 0))))) is some


def test_images_keep_apart() -> None:
    output = blank(images=3)
    teach(output, cell=18, box=BOX, image=0)
    teach(output, cell=69, box=BOX, image=2)
    pairs = assign(output, objects((BOX, 0, 0), (BOX, 0, 2)))
    assert listed(pairs) == [(18, 0), (2 * COUNT + 69, 1)]


def test_encode_is_the_inverse_of_decode() -> None:
    raw = torch.randn(2, COUNT, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(encode(decode(raw, CELLS), CELLS), raw, atol=1e-4)


def test_decode_by_hand() -> None:
    raw = torch.tensor([0.5, 0.25, math.log(2.0), 0.0])
    # Cell 69 is column 1, row 1 of 16 px: centre (24, 20), 32 wide, 16 high.
    assert torch.allclose(decode(raw, CELLS.take(torch.tensor(69))), torch.tensor([8.0, 12.0, 40.0, 28.0]))


def iou_in_loops(a: list[float], b: list[float]) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def cost_in_loops(output: Output, image: int, cell: int, label: int, iou: float) -> float:
    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    holds = sigmoid(output.objects[image, cell].item())
    total = 0.0
    for c, logit in enumerate(output.classes[image, cell].tolist()):
        p = math.sqrt(sigmoid(logit) * holds)
        total -= math.log(p) if c == label else math.log(1 - p)
    return total - 3 * math.log(iou + 1e-8)


def assign_in_loops(output: Output, truth: Objects) -> dict[tuple[int, int], tuple[float, int]]:
    """The paper's section 2.1, one object and one cell at a time: (image, cell) -> cost and object."""
    decoded: list[list[list[float]]] = decode(output.boxes, output.cells).tolist()
    taken: dict[tuple[int, int], tuple[float, int]] = {}
    for g, (box, label, image) in enumerate(
        zip(truth.boxes.tolist(), truth.labels.tolist(), truth.image.tolist(), strict=True)
    ):
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        candidates: list[tuple[float, int]] = []
        ious: list[float] = []
        start = 0
        for (height, width), stride in zip(output.cells.shapes, STRIDES, strict=True):
            for row in range(height):
                for column in range(width):
                    if abs(row - y // stride) > 1 or abs(column - x // stride) > 1:
                        continue
                    cell = start + row * width + column
                    iou = iou_in_loops(decoded[image][cell], box)
                    ious.append(iou)
                    candidates.append((cost_in_loops(output, image, cell, label, iou), cell))
            start += height * width
        wanted = max(1, int(sum(sorted(ious, reverse=True)[:10])))
        for cost, cell in sorted(candidates)[:wanted]:
            if (image, cell) not in taken or cost < taken[image, cell][0]:
                taken[image, cell] = (cost, g)
    return taken


def random_case(seed: int, *, images: int, count: int, classes: int) -> tuple[Output, Objects]:
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g)

    boxes = normal(images, COUNT, 4)
    boxes[..., 2:] = boxes[..., 2:] * 0.4 + torch.log(24.0 / CELLS.stride)[:, None]
    output = Output(boxes, normal(images, COUNT), normal(images, COUNT, classes), CELLS)
    centre = torch.rand(count, 2, generator=g) * 80 - 8  # some outside of the image
    half = torch.rand(count, 2, generator=g) * 16 + 2
    image = torch.randint(images, (count,), generator=g).sort().values
    labels = torch.randint(classes, (count,), generator=g)
    return output, Objects(torch.cat((centre - half, centre + half), dim=1), labels, image)


@pytest.mark.parametrize("seed", range(12))
def test_the_same_as_in_loops(seed: int) -> None:
    output, truth = random_case(seed, images=3, count=5 + 4 * seed, classes=1 + seed % 4)
    pairs = assign(output, truth)
    ours = {divmod(cell, COUNT): g for cell, g in listed(pairs)}
    assert ours == {key: g for key, (_, g) in assign_in_loops(output, truth).items()}
    predicted = decode(output.boxes, CELLS).flatten(0, 1)[pairs.cell].tolist()
    wanted = truth.boxes[pairs.object].tolist()
    by_hand = torch.tensor([iou_in_loops(a, b) for a, b in zip(predicted, wanted, strict=True)])
    assert torch.allclose(pairs.iou, by_hand, atol=1e-5)


def test_extreme_logits_stay_finite() -> None:
    output, truth = random_case(0, images=1, count=6, classes=3)
    for value in (-200.0, 200.0):
        output.classes[:] = value
        output.objects[:] = value
        pairs = assign(output, truth)
        assert pairs.cell.numel() > 0
        assert pairs.iou.isfinite().all()
