"""Prediction from ``model.safetensors`` alone: the same preprocessing as in training, batched, streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import torch
from PIL.Image import Image as Picture
from PIL.Image import fromarray
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import tv_tensors

from vf import pictures
from vf.data.collate import Collate
from vf.data.decode import IMAGE_SUFFIXES, decode
from vf.data.loader import init_worker, usable_cores
from vf.data.pipeline import Failure, Fitted
from vf.data.sample import Batch, Sample
from vf.engine.build import preprocess_of
from vf.engine.checkpoint import load_into, read_weights
from vf.engine.precision import Precision, make_precision, pick_device
from vf.errors import ConfigError, DataError, VFError
from vf.protocols import DatasetInfo
from vf.recipes import Resolved, from_text
from vf.runs import find_weights

THRESHOLD = 0.3
"""Score from which on predictions are drawn and written for people; metrics see all of them."""
TOP = 5
"""Classes of an image that are written for people, where it has one of them."""


@attrs.frozen
class Result:
    """What a model says about one image."""

    id: str
    image: tv_tensors.Image
    """uint8 [3,H,W] RGB, as decoded."""
    prediction: dict[str, Any]
    """In pixels of ``image``; see vf.protocols.Prediction."""
    info: DatasetInfo

    def draw(self, *, threshold: float = THRESHOLD) -> Picture:
        """Return the image with predictions that score at least ``threshold`` drawn on it."""
        return pictures.draw(
            self.image, self.prediction, self.info.classes, threshold=threshold, palette=self.info.palette
        )

    def label_map(self) -> Picture:
        """Return the class index of each pixel as a grey picture [H,W], of 16 bits where there are over 256 classes."""
        few = len(self.info.classes) <= 256
        return fromarray(self.prediction["semantic"].numpy().astype("uint8" if few else "uint16"))

    def plain(self, *, threshold: float = THRESHOLD) -> dict[str, Any]:
        """Return plain data for predictions.json: objects that score enough, likely classes, parts of the pixels."""
        height, width = self.image.shape[-2:]
        return {"image": self.id, "width": int(width), "height": int(height), **self._said(threshold)}

    def _said(self, threshold: float) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if "polygons" in self.prediction:
            said["texts"] = self._outlined(threshold)
        elif "text" in self.prediction:
            said |= {"text": self.prediction["text"], "score": round(float(self.prediction["score"]), 5)}
        elif "boxes" in self.prediction:
            said["objects"] = self._objects(threshold)
        if "probabilities" in self.prediction:
            said["classes"] = self._classes(threshold)
        if "semantic" in self.prediction:
            said["pixels"] = self._pixels()
        return said

    def _objects(self, threshold: float) -> list[dict[str, Any]]:
        columns = (self.prediction[key].tolist() for key in ("boxes", "scores", "labels"))
        return [
            {**self._named(label, score), "box": [round(x, 2) for x in box]}
            for box, score, label in zip(*columns, strict=True)
            if score >= threshold
        ]

    def _outlined(self, threshold: float) -> list[dict[str, Any]]:
        """What is found by its outline, with what is read in it, in the order of the prediction."""
        rows = [
            {"polygon": [[round(x, 2) for x in corner] for corner in corners], "score": round(score, 5)}
            for corners, score in zip(
                self.prediction["polygons"].tolist(), self.prediction["scores"].tolist(), strict=True
            )
        ]
        for key, name in (("texts", "text"), ("text_scores", "text_score")):
            for row, value in zip(rows, self.prediction.get(key, ()), strict=False):
                row[name] = value if isinstance(value, str) else round(float(value), 5)
        return [row for row in rows if row["score"] >= threshold]

    def _classes(self, threshold: float) -> list[dict[str, Any]]:
        """The likeliest classes of the image as a whole; of those that do not exclude each other, all that count."""
        values, order = self.prediction["probabilities"].sort(descending=True)
        pairs = list(zip(order.tolist(), values.tolist(), strict=True))
        chosen = pairs[:TOP] if "label" in self.prediction else [pair for pair in pairs if pair[1] >= threshold]
        return [self._named(label, score) for label, score in chosen]

    def _pixels(self) -> dict[str, float]:
        """Each class that has a pixel, with its part of the image."""
        pixels, names = self.prediction["semantic"], (*self.info.classes, *self.info.stuff)
        values, counts = torch.unique(pixels, return_counts=True)
        shares = zip(values.tolist(), (counts / pixels.numel()).tolist(), strict=True)
        return {names[value]: round(share, 5) for value, share in shares if value < len(names)}

    def _named(self, label: int, score: float) -> dict[str, Any]:
        return {"class": self.info.classes[label], "label": label, "score": round(score, 5)}


class Predictor:
    """A model ready to predict, with the facts that came with its weights."""

    def __init__(self, model: nn.Module, resolved: Resolved, info: DatasetInfo, precision: Precision) -> None:
        self.model = model.to(precision.device).eval()
        self.resolved = resolved
        self.info = info
        self.precision = precision
        self.device = precision.device
        self.preprocess = preprocess_of(model)

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
        """Load a run folder, a checkpoint folder or ``model.safetensors``.

        Raises:
            CheckpointError: it is missing, broken, or does not fit its own recipe.
        """
        path = find_weights(str(checkpoint))
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

    def __call__(self, source: str | Path | Tensor) -> Result:
        """Predict one image: a file, or a uint8 [3,H,W] RGB tensor."""
        return next(iter(self.predict([source])))

    def predict(self, sources: Iterable[str | Path | Tensor], *, batch_size: int = 8) -> Iterator[Result]:
        """Predict images in order, in batches; nothing is kept after it is yielded."""
        waiting: list[Sample] = []
        for source in sources:
            waiting.append(_sample(source))
            if len(waiting) == batch_size:
                yield from self._batch(waiting)
                waiting = []
        if waiting:
            yield from self._batch(waiting)

    def _batch(self, samples: list[Sample]) -> Iterator[Result]:
        fitted = [Fitted(self.preprocess.fit(s, with_target=False), s.size) for s in samples]
        batch = Collate(fill=self.preprocess.pad_value)(fitted)
        assert isinstance(batch, Batch)
        for sample, prediction in zip(samples, self.forward(batch), strict=True):
            yield Result(sample.id, sample.image, prediction, self.info)

    @torch.no_grad()
    def forward(self, batch: Batch) -> list[dict[str, Tensor]]:
        """Predict a collated batch."""
        with self.precision.autocast():
            predictions: list[dict[str, Tensor]] = self.model(batch.to(self.device))
        return predictions

    def predict_files(self, files: Sequence[Path], *, workers: int, batch_size: int = 8) -> Iterator[Result | VFError]:
        """Predict many files, decoded in worker processes; a file that cannot be read gives its error instead."""
        loader: DataLoader[Sample | Failure] = DataLoader(
            ImageFiles(files),
            batch_size=batch_size,
            collate_fn=list,
            num_workers=min(workers, usable_cores(), len(files) // batch_size),
            worker_init_fn=init_worker,
        )
        for items in loader:
            yield from (item.kind(*item.problems) for item in items if isinstance(item, Failure))
            samples = [item for item in items if isinstance(item, Sample)]
            if samples:
                yield from self._batch(samples)


class ImageFiles(TorchDataset[Sample | Failure]):
    """Image files as samples without labels; the id is the path."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [str(f) for f in files]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Sample | Failure:
        try:
            return _sample(self._files[index])
        except VFError as error:
            return Failure(type(error), error.problems)


def find_images(source: str) -> list[Path]:
    """Return the image itself, or the images of a folder and of the folders in it, sorted.

    Raises:
        DataError: there is no such path, or no image in it.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{source}: no such image or folder")
    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not files:
        raise DataError(f"{source}: no image in it; looked for {', '.join(sorted(IMAGE_SUFFIXES))}")
    return files


def _sample(source: str | Path | Tensor) -> Sample:
    if isinstance(source, Tensor):
        return Sample(image=tv_tensors.Image(source), target={}, id="")
    return Sample(image=decode(Path(source)), target={}, id=str(source))
