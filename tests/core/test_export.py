"""Graphs in the place of networks: shapes, padding, comparison, and what the files say of themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vf.errors import CheckpointError, ConfigError
from vf.export import is_exported, load_exported
from vf.export.graph import Network, example, traced
from vf.export.parity import Parity, chosen_difference, comparable, difference, match
from vf.export.run import TorchGraph
from vf.export.spec import Spec
from vf.nn.frame import Frame, Side, within
from vf.nn.preprocess import Letterbox
from vf.nn.resize import KeepRatio
from vf.orders import ExportOrder
from vf.protocols import DatasetInfo

INFO = DatasetInfo(
    classes=("a", "b"), task="det", num_samples={"val": 2}, fingerprint="0", palette=((1, 2, 3), (4, 5, 6))
)
OPEN = Frame(Side(least=32, step=32), Side(least=32, step=32))


def spec(frame: Frame = OPEN, batch: int | None = None) -> Spec:
    return Spec(
        recipe="task: det\n",
        info=INFO,
        versions={"vf": "0"},
        frame=frame,
        batch=batch,
        pad_value=114,
        outputs=("sum",),
        preprocess={"resize": "none"},
    )


@pytest.mark.parametrize(
    ("size", "box", "goal"),
    [
        ((360, 640), (416, 416), (234, 416)),
        ((640, 360), (416, 416), (416, 234)),
        ((100, 100), (50, 80), (50, 50)),
        ((1, 1000), (32, 32), (1, 32)),  # a line stays a line
        ((7, 7), (7, 7), (7, 7)),
    ],
)
def test_an_image_gets_as_large_as_fits(size: tuple[int, int], box: tuple[int, int], goal: tuple[int, int]) -> None:
    assert within(size, box) == goal


def test_sides_are_padded_to_steps_and_to_the_least() -> None:
    side = Side(least=64, step=32)
    assert [side.of(length) for length in (1, 64, 65, 96)] == [64, 64, 96, 96]
    assert not side.fixed
    assert Frame.one((7, 9)).size == (7, 9)
    assert OPEN.size is None


def test_rules_of_one_size_refuse_another_and_those_of_many_take_it() -> None:
    with pytest.raises(ConfigError) as refused:
        Letterbox(size=(64, 96)).fixed((32, 32))
    assert str(refused.value) == (
        "--size 32 32: this network takes images of 64×96 px (height × width), a key of the model: change it with "
        "--set (see 'vf config show'), or leave --size out"
    )
    rules = KeepRatio(short=50, long=80)
    with pytest.raises(ConfigError, match=r"^--size 50 64: expected multiples of 32 px for this network$"):
        rules.fixed((50, 64))
    fixed = rules.fixed((64, 96)).eval()
    assert fixed.frame.size == (64, 96)
    assert rules.frame == OPEN  # the model's own stay
    assert fixed.goal(10, 20) == (64, 96)


def summed(images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
    assert images.shape[0] == 2 or sizes.shape[0] == images.shape[0]
    return {"sum": images.float().sum((1, 2, 3)), "shape": torch.tensor([images.shape[2:]] * len(images))}


def test_a_graph_pads_what_is_no_multiple_of_its_steps() -> None:
    images = torch.zeros(3, 3, 33, 64, dtype=torch.uint8)
    out = TorchGraph(summed, spec())(images, torch.tensor([[33, 64]] * 3))
    assert out["shape"].tolist() == [[64, 64]] * 3
    assert out["sum"].tolist() == [114.0 * 3 * 31 * 64] * 3


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_graph_of_two_images_takes_any_number(count: int) -> None:
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 32, 32)
    out = TorchGraph(summed, spec(batch=2))(images, torch.tensor([[32, 32]] * count))
    assert out["sum"].tolist() == [3.0 * 32 * 32 * k for k in range(count)]


def test_a_graph_refuses_what_is_larger_than_it_and_what_is_no_pixels() -> None:
    graph = TorchGraph(summed, spec(Frame.one((32, 32))))
    with pytest.raises(ConfigError) as refused:
        graph(torch.zeros(1, 3, 32, 40, dtype=torch.uint8), torch.tensor([[32, 40]]))
    assert str(refused.value) == (
        "the exported graph takes images of up to 32×32 px (height × width), got 32×40; export it anew with the size "
        "that the model has now"
    )
    with pytest.raises(ConfigError, match=r"^an exported graph takes whole pixels \(uint8\); leave out what mixes"):
        graph(torch.zeros(1, 3, 32, 32), torch.tensor([[32, 32]]))


def test_a_graph_with_open_sides_refuses_what_is_too_short_for_it() -> None:
    graph = TorchGraph(summed, spec(Frame(*[Side(least=96, step=32, shortest=96)] * 2)))
    assert graph(torch.zeros(1, 3, 65, 96, dtype=torch.uint8), torch.tensor([[65, 96]]))["shape"].tolist() == [[96, 96]]
    with pytest.raises(ConfigError) as refused:
        graph(torch.zeros(1, 3, 64, 96, dtype=torch.uint8), torch.tensor([[64, 96]]))
    assert str(refused.value) == (
        "the exported graph takes images from 96×96 px (height × width) on, got 64×96; export with --size H W for such "
        "small ones"
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, -2.0], [1.0, -2.0], 0.0),
        ([1.0, -2.0], [1.0, -1.9], 0.05),
        ([], [], 0.0),
        ([0.0], [0.0], 0.0),
        ([1.0, 2.0], [1.0], float("inf")),
        ([1.0, float("-inf")], [1.0, float("-inf")], 0.0),
        ([1.0, 2.0], [1.0, float("nan")], float("inf")),
    ],
)
def test_a_difference_is_a_part_of_the_largest_value(ours: list[float], theirs: list[float], expected: float) -> None:
    assert difference(torch.tensor(ours), torch.tensor(theirs)) == pytest.approx(expected)


def test_whole_numbers_are_the_same_or_not() -> None:
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 2])) == 0
    assert difference(torch.tensor([1, 2]), torch.tensor([1, 3])) == float("inf")
    assert difference(torch.tensor([1]), None) == float("inf")


def test_rows_that_were_chosen_by_their_scores_may_change_places() -> None:
    raw = {"boxes": torch.zeros(1, 5, 4), "scores": torch.zeros(1, 5), "labels": torch.zeros(1, 5)}
    assert comparable(raw) == []
    assert comparable({**raw, "semantic": torch.zeros(1, 3, 8, 8)}) == ["semantic"]
    assert comparable({"boxes": torch.zeros(1, 5, 4)}) == ["boxes"]


def test_scores_of_boxes_that_both_chose_are_compared_whatever_their_places() -> None:
    a, b, c, none = [0.0, 0, 9, 9], [20.0, 0, 29, 9], [40.0, 0, 49, 9], [0.0, 0, 0, 0]

    def raw(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, Tensor]:
        return {
            "boxes": torch.tensor([boxes]),
            "scores": torch.tensor([scores]),
            "labels": torch.tensor([labels]),
        }

    ours = raw([a, b, none], [0.8, 0.5, -1e4], [1, 2, -1])
    assert chosen_difference(ours, ours) == 0
    assert chosen_difference(ours, raw([b, a, none], [0.5, 0.8, -1e4], [2, 1, -1])) == 0
    assert chosen_difference(ours, raw([a, b, c], [0.72, 0.5, 0.4], [1, 2, 1])) == pytest.approx(0.1)
    assert chosen_difference(ours, raw([a, b, none], [0.1, 0.5, -1e4], [2, 2, -1])) == 0  # one of another class
    assert chosen_difference(raw([none], [-1e4], [-1]), raw([none], [-1e4], [-1])) == 0
    assert chosen_difference(ours, {"boxes": ours["boxes"]}) == float("inf")


def detections(boxes: list[list[float]], scores: list[float], labels: list[int]) -> dict[str, Tensor]:
    return {
        "boxes": torch.tensor(boxes).reshape(-1, 4),
        "scores": torch.tensor(scores),
        "labels": torch.tensor(labels, dtype=torch.long),
    }


BOX = [0.0, 0.0, 100.0, 100.0]


@pytest.mark.parametrize(
    ("theirs", "same", "total"),
    [
        (detections([BOX], [0.9], [1]), 1, 1),
        (detections([[0.0, 0.0, 100.0, 100.5]], [0.9005], [1]), 1, 1),  # an IoU of 0.995
        (detections([[0.0, 0.0, 100.0, 102.0]], [0.9], [1]), 0, 1),
        (detections([BOX], [0.9], [0]), 0, 1),
        (detections([BOX], [0.8], [1]), 0, 1),
        (detections([], [], []), 0, 1),
        (detections([BOX, [5.0, 5.0, 9.0, 9.0]], [0.9, 0.5], [1, 1]), 1, 2),
    ],
)
def test_boxes_are_the_same_where_class_score_and_place_are(theirs: dict[str, Tensor], same: int, total: int) -> None:
    parity = Parity()
    match(detections([BOX], [0.9], [1]), theirs, parity)
    assert (parity.same["boxes"], parity.total["boxes"]) == (same, total)
    assert parity.good is (same == total)


def test_predictions_of_other_tasks_are_counted_too() -> None:
    parity = Parity(images=1)
    ours = {
        "semantic": torch.tensor([[0, 1], [1, 1]]),
        "probabilities": torch.tensor([0.5, 0.5]),
        "text": "abc",
        "polygons": torch.tensor([[[0.0, 0.0], [9.0, 0.0], [9.0, 5.0]]]),
        "scores": torch.tensor([0.9]),
    }
    match(ours, {**ours, "semantic": torch.tensor([[0, 1], [1, 0]]), "text": "abd"}, parity)
    assert parity.same == {"outlines": 1, "pixels": 3, "images' probabilities": 1, "texts": 0}
    assert parity.total == {"outlines": 1, "pixels": 4, "images' probabilities": 1, "texts": 1}
    assert not parity.good
    parity.note("maps", 2e-5)
    assert parity.text().startswith("outputs differ by 2.0e-05 at most; 1 of 1 outlines the same; 3 of 4 pixels")


def test_what_a_file_says_of_itself_is_read_back() -> None:
    whole = spec(Frame(Side(least=32, most=32), Side(least=32, most=128, step=32)), batch=4)
    metadata = whole.metadata()
    assert Spec.read(metadata, "a.onnx") == whole
    described = json.loads(metadata["graph"])
    assert described["inputs"]["images"].startswith("uint8 [B,3,H,W], RGB")
    with pytest.raises(CheckpointError) as refused:
        Spec.read({}, "a.onnx")
    assert str(refused.value) == "a.onnx: a graph without a vf recipe; expected a file that 'vf run export' wrote"
    with pytest.raises(CheckpointError, match=r"^a\.onnx: its vf metadata is not readable \(JSONDecodeError: "):
        Spec.read({**metadata, "graph": "{"}, "a.onnx")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "a.ts",
            "a.ts: a TorchScript archive holds programs and a pickle, so vf writes such files and does not open them; "
            "export --format onnx for vf, and open this one with torch where you trust it",
        ),
        (
            "a.pt2",
            "a.pt2: an archive of torch.export may hold pickles, which torch falls back to, so vf writes such files "
            "and does not open them; export --format onnx for vf, and open this one with torch where you trust it",
        ),
        ("a.onnx", "a.onnx: no such file"),
    ],
)
def test_files_that_are_not_opened(name: str, said: str) -> None:
    assert is_exported(name)
    with pytest.raises(CheckpointError) as refused:
        load_exported(name)
    assert str(refused.value) == said


def test_what_is_no_graph_and_another_precision_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"a\.onnx: not a graph that onnxruntime runs: "):
        load_exported(tmp_path / "a.onnx")
    with pytest.raises(CheckpointError, match=r"precision 'bf16': exported graphs compute in fp32; leave it out$"):
        load_exported(tmp_path / "a.onnx", precision="bf16")


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"dynamic": ("width",)}, "--dynamic width: expected batch, size, both with a comma, or none"),
        ({"dynamic": ("size",), "size": (32, 32)}, "--size: --dynamic size leaves it open; leave one of them out"),
        ({"batch": 4}, "--batch 4: the number of images is open; add --dynamic none or --dynamic size"),
    ],
)
def test_orders_that_contradict_themselves(order: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        ExportOrder(checkpoint="run", **order)
    assert str(refused.value) == said


class Branching(nn.Module):
    """Asks for a value, which no graph can."""

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"x": images if images.float().sum() > 0 else images + 1}


def test_what_torch_cannot_trace_is_one_line_with_what_else_to_try() -> None:
    with pytest.raises(ConfigError) as refused:
        traced(Branching(), OPEN, None)
    assert str(refused.value).startswith("Branching: torch cannot make a graph of it: ")
    assert str(refused.value).endswith("; try --size H W --dynamic none")
    assert "\n" not in str(refused.value)


class Doubling(nn.Module):
    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"twice": images.float() * 2, "sizes": sizes}


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_a_graph_is_open_where_that_is_asked_for(batch: int | None) -> None:
    program = traced(Doubling(), OPEN, batch).module()
    for count, height in ((batch or 1, 32), (batch or 5, 96)):
        images = torch.ones(count, 3, height, 64, dtype=torch.uint8)
        out = program(images, torch.tensor([[height, 64]] * count))
        assert out["twice"].shape == images.shape
    images, sizes = example(OPEN, batch)
    assert images.shape[2] != images.shape[3]
    assert set(Network(Doubling())(images, sizes)) == {"twice", "sizes"}
