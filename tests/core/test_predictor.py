"""A model of the toy plugin on every kind of call: one or many, in order, in batches, beside others, cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vf
from vf.data.sample import Batch
from vf.engine.precision import make_precision
from vf.errors import CheckpointError, ConfigError, DataError, VFError
from vf.lanes import Lanes
from vf.predict import Predictor
from vf.protocols import DatasetInfo
from vf.recipes import from_text
from vf.results import Result

RECIPE = """\
task: toy
model: {name: net, plain: true}
data: {name: squares}
augment: []
metrics: []
train:
  length: 1 steps
  batch_size: 2
  optimizer: {name: sgd, lr: 0.05}
  schedule: {name: cosine}
loader: {eval_batch_size: 4}
"""
INFO = DatasetInfo(classes=("red", "green"), task="toy", num_samples={}, fingerprint="")


class Slow(torch.nn.Module):
    """The toy network, which counts what runs at the same time."""

    def __init__(self, net: Any, seconds: float) -> None:
        super().__init__()
        self.net, self.preprocess, self.seconds = net, net.preprocess, seconds
        self.running = self.most = self.begun = self.ended = 0
        self.sizes: list[int] = []
        self._lock = threading.Lock()

    def forward(self, batch: Batch) -> Any:
        with self._lock:
            self.running += 1
            self.begun += 1
            self.most = max(self.most, self.running)
            self.sizes.append(len(batch))
        time.sleep(self.seconds)
        with self._lock:
            self.running -= 1
            self.ended += 1
        return self.net(batch)


def predictor(seconds: float = 0.0) -> Any:
    resolved = from_text(RECIPE, "recipe")
    torch.manual_seed(0)
    model = Slow(resolved.recipe.model.build(INFO), seconds)
    return Predictor(model, resolved, INFO, make_precision("fp32", torch.device("cpu")))


def images(count: int) -> list[Any]:
    return [np.random.default_rng(i).integers(0, 256, (12, 12, 3), np.uint8) for i in range(count)]


def same(one: Result, other: Result) -> bool:
    assert one.scores is not None
    assert other.scores is not None
    return torch.allclose(one.scores, other.scores, atol=1e-6)


@pytest.fixture(autouse=True)
def _nothing_is_left_running() -> Any:
    yield
    left = [t.name for t in threading.enumerate() if t.name.startswith(("vf-read", "vf-decode", "vf-take", "vf-cam"))]
    assert left == []


def test_one_image_gives_a_result_and_several_an_iterator(tmp_path: Path) -> None:
    model = predictor()
    array = images(1)[0]
    Image.fromarray(array).save(tmp_path / "a.png")
    one = model(array)
    assert isinstance(one, Result)
    assert (one.id, one.size) == ("", (12, 12))
    for source in (tmp_path / "a.png", str(tmp_path / "a.png"), torch.from_numpy(array).permute(2, 0, 1)):
        assert same(model(source), one)
    for many in ([array], tmp_path, str(tmp_path / "*.png")):
        (result,) = model(many)
        assert same(result, one)


def test_batches_are_those_of_an_evaluation(tmp_path: Path) -> None:
    model = predictor()
    found = list(model.predict(images(10)))
    assert model.model.sizes == [4, 4, 2]
    model.model.sizes.clear()
    singly = list(model.predict(images(10), batch_size=1, threads=0))
    assert model.model.sizes == [1] * 10
    assert all(same(a, b) for a, b in zip(found, singly, strict=True))


@pytest.mark.parametrize("threads", [0, 2])
def test_an_image_that_cannot_be_read(threads: int) -> None:
    model = predictor()
    source = [*images(5), "nowhere.png", *images(2)]
    seen = []
    with pytest.raises(DataError, match=r"^nowhere\.png: no such"):
        seen.extend(model.predict(source, threads=threads))
    failed: list[VFError] = []
    found = list(model.predict(source, threads=threads, failed=failed.append))
    assert (len(found), [error.problems for error in failed]) == (
        7,
        [("nowhere.png: no such image, video or folder",)],
    )
    assert all(same(a, b) for a, b in zip(found, model.predict([*images(5), *images(2)]), strict=True))


def test_leaving_early_ends_what_was_read_ahead() -> None:
    results = predictor()(images(100))
    next(results)
    results.close()


def test_a_recipe_has_no_weights() -> None:
    for name in ("det/quickstart", "own.yaml"):
        with pytest.raises(CheckpointError) as caught:
            vf.load(name)
        assert caught.value.problems == (
            f"{name}: is a recipe, and a recipe has no weights; train it with 'vf run train {name}' and load its run, "
            "or convert published weights with 'vf convert'",
        )


def test_tiles_are_for_models_that_find_objects() -> None:
    with pytest.raises(ConfigError, match=r"^--tile: is for models that find objects, and this one gives scores; "):
        predictor().with_tiles(8)(images(1)[0])


# Several in flight


def streamed(model: Any, source: Any, **options: Any) -> list[Result]:
    async def run() -> list[Result]:
        return [result async for result in model.stream(source, **options)]

    return asyncio.run(run())


@pytest.mark.parametrize(("in_flight", "batch_size"), [(1, 1), (3, 1), (3, 2), (20, 3)])
def test_a_stream_keeps_the_order(in_flight: int, batch_size: int) -> None:
    model = predictor(0.01)
    found = streamed(model, images(9), in_flight=in_flight, batch_size=batch_size)
    assert all(same(a, b) for a, b in zip(found, predictor().predict(images(9)), strict=True))
    batches = -(-9 // batch_size)
    assert model.model.most <= in_flight
    assert model.model.most >= min(2, in_flight, batches)
    assert streamed(model, []) == []


def test_a_stream_goes_past_what_cannot_be_read() -> None:
    failed: list[VFError] = []
    source = [*images(2), "nowhere.png", *images(1)]
    assert len(streamed(predictor(), source, failed=failed.append)) == 3
    assert len(failed) == 1
    with pytest.raises(DataError, match=r"^nowhere\.png"):
        streamed(predictor(), source)


def test_the_event_loop_is_free_while_a_model_is_busy() -> None:
    async def run() -> int:
        ticks = 0
        task = asyncio.create_task(_listed(predictor(0.1), images(3), in_flight=1))
        while not task.done():
            await asyncio.sleep(0.005)
            ticks += 1
        return ticks

    assert asyncio.run(run()) > 10


async def _listed(model: Any, source: Any, **options: Any) -> list[Result]:
    return [result async for result in model.stream(source, **options)]


def test_several_models_side_by_side() -> None:
    async def run() -> list[list[Result]]:
        return await asyncio.gather(*(_listed(predictor(0.005), images(5)) for _ in range(3)))

    reference = list(predictor().predict(images(5)))
    for found in asyncio.run(run()):
        assert all(same(a, b) for a, b in zip(found, reference, strict=True))


def leave_early(model: Any) -> Callable[[], Any]:
    async def run() -> None:
        async with contextlib.aclosing(model.stream(images(500))) as results:
            async for _ in results:
                break

    return run


def cancel(model: Any) -> Callable[[], Any]:
    async def run() -> None:
        task = asyncio.create_task(_listed(model, images(500)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    return run


@pytest.mark.parametrize("how", [leave_early, cancel])
def test_a_stream_that_is_left_leaves_nothing_running(how: Any) -> None:
    model = predictor(0.02)
    asyncio.run(how(model)())
    assert model.model.running == 0
    assert model.model.begun < 50
    begun = model.model.begun
    time.sleep(0.05)
    assert model.model.begun == begun
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("vf-")]


def test_single_images_at_the_same_time() -> None:
    model = predictor(0.02)

    async def run() -> list[Result]:
        return await asyncio.gather(*(model.predict_async(image) for image in images(8)))

    found = asyncio.run(run())
    assert model.model.most == 3
    assert all(same(a, b) for a, b in zip(found, predictor().predict(images(8)), strict=True))


def test_a_cancelled_image_is_dropped_or_waited_for() -> None:
    model = predictor(0.05)

    async def run() -> None:
        tasks = [asyncio.create_task(model.predict_async(image)) for image in images(8)]
        await asyncio.sleep(0.02)
        for task in tasks:
            task.cancel()
        said = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in said)
        assert model.model.running == 0  # nothing runs when the last of them is told

    asyncio.run(run())
    assert model.model.begun == 3


def test_one_image_is_wanted() -> None:
    with pytest.raises(VFError, match=r"^predict_async: expected one image, got images; take 'async for "):
        asyncio.run(predictor().predict_async(images(2)))


def test_lanes_share_the_threads_of_one_model() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        lanes = Lanes(torch.device("cpu"), 2)

        async def run() -> list[int]:
            return await asyncio.gather(*(lanes.run(torch.get_num_threads) for _ in range(6)))

        assert asyncio.run(run()) == [2] * 6
        assert torch.get_num_threads() == 4
        seen: list[int] = []
        other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
        other.start()
        other.join()
        assert seen == [4]
        lanes.close()
    finally:
        torch.set_num_threads(before)
