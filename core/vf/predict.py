"""Prediction from ``model.safetensors`` alone: the same preprocessing as in training, batched, streamed."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import attrs
import torch
from numpy.typing import NDArray
from PIL.Image import Image as Picture
from torch import Tensor, nn

from vf.data.collate import Collate
from vf.data.pipeline import Fitted
from vf.data.sample import Batch, Sample
from vf.engine.build import preprocess_of
from vf.engine.checkpoint import load_into, read_weights
from vf.engine.precision import Precision, make_precision, pick_device
from vf.errors import CheckpointError, ConfigError, DataError, VFError
from vf.export import graph_device, is_exported, load_exported
from vf.lanes import Lanes, streamed
from vf.plugins import plugins
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, from_text
from vf.results import THRESHOLD as THRESHOLD
from vf.results import Result
from vf.runs import find_weights
from vf.sources.feed import Feed
from vf.sources.opening import open_source
from vf.sources.source import Item, Source
from vf.tiles import Tiling

THREADS = 2
"""That decode and resize while the model is busy."""


@attrs.frozen
class Ready:
    """An image that was decoded, and what the model sees of it."""

    item: Item
    sample: Sample
    views: tuple[Fitted, ...]
    """The image as the model wants it; with tiles, each of them."""


class Predictor:
    """A model ready to predict, with the facts that came with its weights. Make one with :func:`vf.load`.

    ``model(source)`` predicts. One image gives a :class:`vf.results.Result`: a path, an http(s) address, an array uint8
    [H,W,3] RGB or [H,W] grey, a tensor uint8 [3,H,W] RGB, a picture of PIL. Whatever may hold several gives an iterator
    of results, in order, even where it holds one: a list, a folder, a pattern, a zip, a list in a ``.txt``, a video, a
    stream's address, the number of a camera.
    """

    def __init__(self, model: nn.Module, resolved: Resolved, info: DatasetInfo, precision: Precision) -> None:
        self.model = model.to(precision.device).eval()
        self.resolved = resolved
        self.info = info
        self.precision = precision
        self.device = precision.device
        self.preprocess = preprocess_of(model)
        self.tiling: Tiling | None = None
        self._lanes: Lanes | None = None

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        *,
        device: str = "auto",
        precision: str = "fp32",
        data: str | None = None,
        overrides: Sequence[str] = (),
    ) -> Predictor:
        """Load a run folder, a checkpoint folder, ``model.safetensors``, or a ``.onnx`` that ``vf run export`` wrote.

        Args:
            checkpoint: of a run, its best checkpoint is taken, else its last.
            device: ``auto`` (a GPU where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
            precision: ``fp32``, ``bf16``, ``fp16`` or ``auto`` (the smallest that the device is good at).
            data: a folder that takes the place of the data of the recipe.
            overrides: of the recipe, as ``model.score_threshold=0.01``.

        Raises:
            CheckpointError: it is missing, broken, does not fit its own recipe, or is a recipe, which has no weights.
        """
        if is_exported(checkpoint):
            chosen = graph_device(device)
            found = load_exported(checkpoint, chosen, precision=precision, data=data, overrides=tuple(overrides))
            return cls(found.model, found.resolved, found.info, make_precision("fp32", chosen))
        path = _weights(checkpoint)
        weights = read_weights(path)
        resolved = from_text(weights.recipe, f"recipe in {path}", data=data, overrides=overrides)
        model = resolved.recipe.model.build(weights.info)
        load_into(model, weights.tensors, path)
        if resolved.recipe.train.channels_last:
            model = model.to(memory_format=torch.channels_last)
        return cls(model, resolved, weights.info, make_precision(precision, pick_device(device)))

    def with_tta(self, *, scales: Sequence[float] = (1.0,), flip: bool = True, **options: Any) -> Predictor:
        """Return a predictor that sees each image in several ways and merges what the model says; it shares the model.

        Args:
            scales: factors on the model's own input size.
            flip: see each image also mirrored left and right.
            options: of the model; detectors take ``merge`` (nms, wbf), ``iou`` and ``max_detections``.

        Raises:
            ConfigError: the model has no test-time augmentation, or not with these values.
        """
        wrap = getattr(self.model, "with_tta", None)
        if wrap is None:
            raise ConfigError(f"tta: {type(self.model).__name__} has no test-time augmentation; leave tta out")
        return Predictor(wrap(scales=scales, flip=flip, **options), self.resolved, self.info, self.precision)

    def with_tiles(self, size: int, *, overlap: float = 0.2, merge: str = "nms") -> Predictor:
        """Return a predictor that looks at large images whole and tile by tile; it shares the model.

        Args:
            size: side of a tile in pixels of the image; images that are no larger are seen once.
            overlap: part of a tile that the next one sees too, 0 to under 1.
            merge: ``nms``: of several that mean one object the surest stays; ``nmm``: they are united.

        Raises:
            ConfigError: a value is out of its range; or, with the first image, the model finds no objects.
        """
        tiled = Predictor(self.model, self.resolved, self.info, self.precision)
        tiled.tiling = Tiling(size=size, overlap=overlap, merge=merge)
        return tiled

    @overload
    def __call__(self, source: Tensor | NDArray[Any] | Picture) -> Result: ...

    @overload
    def __call__(self, source: Any) -> Any: ...

    def __call__(self, source: Any) -> Any:
        """Predict one image: a Result; or several: an iterator of them. See the class.

        Raises:
            DataError: there is no such thing, or it cannot be read.
        """
        opened = open_source(source)
        if not opened.one:
            return self.predict(opened)
        with opened:
            return self._listed(1, [self.ready(item) for item in opened])[0]

    def predict(
        self,
        source: Any,
        *,
        batch_size: int | None = None,
        threads: int = THREADS,
        every: int = 1,
        failed: Callable[[VFError], None] | None = None,
    ) -> Iterator[Result]:
        """Predict any source, also a single image, in order and in batches; nothing is kept after it is yielded.

        Args:
            source: see the class; or a :class:`vf.sources.source.Source`, which is closed at the end.
            batch_size: images that the model sees at once; nothing: as many as its recipe evaluates with, one of
                cameras and streams.
            threads: that decode and resize while the model is busy; 0: nothing is read ahead.
            every: of the frames of a video, each so many-th.
            failed: takes the error of each image that cannot be read; without it the first one is raised.

        Raises:
            DataError: there is no such thing, or it cannot be read.
        """
        opened = source if isinstance(source, Source) else open_source(source, every=every)
        pairs = self.predict_items(opened, batch_size=batch_size, threads=threads, failed=failed)
        return _seconds(pairs)

    def predict_items(
        self,
        source: Source,
        *,
        batch_size: int | None = None,
        threads: int = THREADS,
        failed: Callable[[VFError], None] | None = None,
    ) -> Generator[tuple[Item, Result], None, None]:
        """Predict an open source, which is closed at the end; see :meth:`predict`. Yield what was predicted, too."""
        size = self.batch_size(source, batch_size)
        with Feed(source, self.ready, group=size, threads=threads) as feed:
            for group in feed:
                good: list[Ready] = []
                for one in group:
                    if isinstance(one, Ready):
                        good.append(one)
                        continue
                    yield from self._pairs(good, size)
                    good = []
                    if failed is None:
                        raise one
                    failed(one)
                yield from self._pairs(good, size)

    def _pairs(self, images: Sequence[Ready], batch_size: int) -> Iterator[tuple[Item, Result]]:
        return zip((image.item for image in images), self.results(images, batch_size), strict=True)

    def batch_size(self, source: Source, wanted: int | None = None) -> int:
        """Return how many images of a source the model sees at once, where nobody wants another number."""
        live = source.video is not None and source.video.live
        return wanted or (1 if live or source.one else self.resolved.recipe.loader.eval_batch_size)

    def ready(self, item: Item) -> Ready:
        """Decode an image and make it what the model wants; on any thread. DataError where it cannot be read."""
        sample = Sample(image=item.load(), target={}, id=item.id)
        parts = (sample,) if self.tiling is None else self.tiling.cut(sample)
        views = tuple(Fitted(self.preprocess.fit(part, with_target=False), part.size) for part in parts)
        return Ready(item, sample, views)

    def results(self, images: Sequence[Ready], batch_size: int) -> Iterator[Result]:
        """Predict images that are ready, in batches of up to ``batch_size``."""
        views = [view for image in images for view in image.views]
        said: list[Any] = []
        for start in range(0, len(views), batch_size):
            batch = Collate(fill=self.preprocess.pad_value)(views[start : start + batch_size])
            assert isinstance(batch, Batch)
            said += self.forward(batch.pin_memory() if self.device.type == "cuda" else batch)
        for image in images:
            own, said = said[: len(image.views)], said[len(image.views) :]
            prediction = own[0] if self.tiling is None else self.tiling.joined(image.sample, own)
            item, sample = image.item, image.sample
            yield Result(item.id, sample.image, prediction, self.info, item.frame, item.seconds)

    @torch.no_grad()
    def forward(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Predict a collated batch."""
        with self.precision.autocast():
            predictions: list[dict[str, Tensor]] = self.model(batch.to(self.device))
        return predictions

    def stream(
        self,
        source: Any,
        *,
        in_flight: int = 3,
        batch_size: int = 1,
        threads: int = THREADS,
        every: int = 1,
        failed: Callable[[VFError], None] | None = None,
    ) -> AsyncGenerator[Result, None]:
        """Predict any source for ``async for``: the event loop is free while the model is busy.

        Args:
            source: as for :meth:`predict`.
            in_flight: batches that are predicted at the same time: on a GPU each in a CUDA stream of its own, on the
                CPU each on a thread. Results keep the order of the source.
            batch_size: images of a batch.
            threads: that decode and resize.
            every: of the frames of a video, each so many-th.
            failed: takes the error of each image that cannot be read; without it the first one is raised.

        Raises:
            DataError: there is no such thing, or it cannot be read.
        """
        opened = source if isinstance(source, Source) else open_source(source, every=every)
        feed = Feed(opened, self.ready, group=batch_size, threads=max(1, threads))
        return streamed(feed, functools.partial(self._listed, batch_size), Lanes(self.device, in_flight), failed)

    async def predict_async(self, source: Any) -> Result:
        """Predict one image without holding up the event loop; at most three of a model are in flight.

        A cancelled task leaves nothing running: what the model has begun is waited for, what waits its turn is dropped.

        Raises:
            DataError: it is not one image, or cannot be read.
        """
        if self._lanes is None:
            self._lanes = Lanes(self.device)
        result: Result = await self._lanes.run(self._one, source)
        return result

    def _one(self, source: Any) -> Result:
        with open_source(source) as opened:
            if not opened.one:
                raise DataError(
                    f"predict_async: expected one image, got {opened.name}; take 'async for … in stream(…)'"
                )
            return self._listed(1, [self.ready(item) for item in opened])[0]

    def _listed(self, batch_size: int, images: Sequence[Ready]) -> list[Result]:
        return list(self.results(images, batch_size))


def _seconds(pairs: Generator[tuple[Item, Result], None, None]) -> Iterator[Result]:
    """Yield the results alone; closing this closes the pairs."""
    with contextlib.closing(pairs):
        for _, result in pairs:
            yield result


def _weights(checkpoint: str | Path) -> Path:
    """Return the weight file; say what to do where a recipe is named, which has none."""
    name = str(checkpoint)
    if name.endswith((".yaml", ".yml")) or (not Path(name).exists() and name in plugins().recipes):
        raise CheckpointError(
            f"{name}: is a recipe, and a recipe has no weights; train it with 'vf run train {name}' and load its run, "
            "or convert published weights with 'vf convert'"
        )
    return find_weights(name)
