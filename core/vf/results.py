"""What a model says about one image: typed, drawn, and as plain data of several forms."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch
from PIL.Image import Image as Picture
from PIL.Image import fromarray
from torch import Tensor
from torchvision import tv_tensors

from vf import pictures
from vf.data.follow import IGNORE
from vf.errors import ConfigError, DataError, SetupError, did_you_mean, listed
from vf.plain_results import around, coco_rows, said, select
from vf.protocols import DatasetInfo

THRESHOLD = 0.3
"""Score from which on predictions are drawn and written for people; metrics see all of them."""
QUALITY = 92
"""Of a saved JPEG, of 100."""


@attrs.frozen
class Result:
    """What a model says about one image. All of it lies on the CPU, in pixels of the image as decoded.

    Each property is None where the model says nothing of the kind: ``boxes`` of a classifier.
    """

    id: str
    """The file or address; of a video and a camera, with ``#`` and the number of the frame."""
    image: tv_tensors.Image
    """uint8 [3,H,W] RGB, as decoded."""
    prediction: dict[str, Any]
    """All that the model gave, under the keys of `vf.protocols.Prediction`; the properties are views of it."""
    info: DatasetInfo
    """Facts that came with the weights: names of the classes, colours."""
    frame: int | None = None
    """Number of the frame in its video, from 0."""
    seconds: float | None = None
    """Of the frame, from the beginning of its video."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        height, width = self.image.shape[-2:]
        return int(height), int(width)

    @property
    def boxes(self) -> Tensor | None:
        """Of each object, float32 [N,4]: left, top, right, bottom in pixels."""
        return self.prediction.get("boxes")

    @property
    def scores(self) -> Tensor | None:
        """Of each object, float32 [N] in 0..1; all that the model gives, also those that are not drawn."""
        return self.prediction.get("scores")

    @property
    def labels(self) -> Tensor | None:
        """Class of each object, int64 [N], an index of ``info.classes``."""
        return self.prediction.get("labels")

    @property
    def names(self) -> tuple[str, ...] | None:
        """Name of the class of each object."""
        labels = self.labels
        return None if labels is None else tuple(self.info.classes[label] for label in labels.tolist())

    @property
    def masks(self) -> Tensor | None:
        """Of each object, bool [N,H,W]; decoded anew each time that it is asked for."""
        masks: Any = self.prediction.get("masks")
        dense: Tensor | None = masks.dense() if hasattr(masks, "dense") else masks
        return dense

    @property
    def keypoints(self) -> Tensor | None:
        """Of each object, float32 [N,K,2]: x and y in pixels, in the order of ``info.keypoints``."""
        return self.prediction.get("keypoints")

    @property
    def polygons(self) -> Tensor | None:
        """Outline of each text, float32 [N,K,2]: x and y in pixels; short ones repeat their last corner."""
        return self.prediction.get("polygons")

    @property
    def texts(self) -> tuple[str, ...] | None:
        """What is read in each of ``polygons``."""
        texts = self.prediction.get("texts")
        return None if texts is None else tuple(texts)

    @property
    def text(self) -> str | None:
        """What is read in the image as a whole, a cut out word or line."""
        return self.prediction.get("text")

    @property
    def probabilities(self) -> Tensor | None:
        """Of each class for the image as a whole, float32 [C]; they sum to 1 where an image has one class."""
        return self.prediction.get("probabilities")

    @property
    def label(self) -> int | None:
        """Class of the image as a whole, an index of ``info.classes``; None too where it may have several."""
        return int(self.prediction["label"]) if "label" in self.prediction else None

    @property
    def name(self) -> str | None:
        """Name of the class of the image as a whole."""
        return None if self.label is None else self.info.classes[self.label]

    @property
    def score(self) -> float | None:
        """Of ``label`` or of ``text``, 0..1."""
        if self.label is not None and self.probabilities is not None:
            return float(self.probabilities[self.label])
        return float(self.prediction["score"]) if "score" in self.prediction else None

    @property
    def semantic(self) -> Tensor | None:
        """Class of each pixel, whole numbers [H,W], indices of ``info.classes + info.stuff``; 255: none."""
        return self.prediction.get("semantic")

    @property
    def panoptic(self) -> Tensor | None:
        """Segment of each pixel, whole numbers [H,W], ids of ``segments``; 0: none."""
        return self.prediction.get("panoptic")

    @property
    def segments(self) -> list[dict[str, Any]] | None:
        """Of ``panoptic``: id, category (an index of ``info.classes + info.stuff``), isthing, and score where known."""
        return self.prediction.get("segments")

    def draw(self, *, threshold: float = THRESHOLD, enlarge: bool = True) -> Picture:
        """Return the image with predictions that score at least ``threshold`` drawn on it.

        Args:
            threshold: 0..1.
            enlarge: make an image that is too small to write on a few times as large; without it, it keeps its size.
        """
        return pictures.draw(
            self.image,
            self.prediction,
            (*self.info.classes, *self.info.stuff),
            threshold=threshold,
            palette=self.info.palette,
            enlarge=enlarge,
        )

    def save(self, path: str | Path, *, threshold: float = THRESHOLD) -> Path:
        """Save what :meth:`draw` gives, as the suffix of ``path`` says; return the path.

        Raises:
            DataError: no picture can be written there.
        """
        path = Path(path)
        options = {"quality": QUALITY} if path.suffix.lower() in (".jpg", ".jpeg", ".webp") else {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.draw(threshold=threshold).save(path, **options)  # type: ignore[arg-type]
        except ValueError:
            raise DataError(f"{path}: expected a name that ends like a picture's, as .jpg or .png") from None
        except OSError as error:
            raise DataError(f"{path}: cannot be written: {error.strerror or error}") from None
        return path

    def label_map(self) -> Picture:
        """Return the class index of each pixel as a grey picture [H,W], of 16 bits where there are over 256 classes."""
        few = len(self.info.classes) <= 256
        return fromarray(self.prediction["semantic"].numpy().astype("uint8" if few else "uint16"))

    def segment_map(self) -> Picture:
        """Return the segment of each pixel as a grey picture [H,W] of 16 bits: the ids of ``segments``, 0: none."""
        return fromarray(self.prediction["panoptic"].numpy().astype("uint16"))

    def to_dict(self, *, threshold: float = THRESHOLD) -> dict[str, Any]:
        """Return plain data, as in predictions.json: objects that score enough, likely classes, parts of the pixels."""
        height, width = self.size
        place = {"frame": self.frame, "seconds": self.seconds}
        return {
            "image": self.id,
            **{key: value for key, value in place.items() if value is not None},
            "width": width,
            "height": height,
            **said(self.prediction, self.info, threshold),
        }

    def to_coco(self, image_id: int | str, *, threshold: float = 0.0) -> list[dict[str, Any]]:
        """Return the objects in COCO's form of results: bbox (x, y, width, height), score, segmentation, keypoints.

        Args:
            image_id: of the image in the file that the results are for.
            threshold: what scores less is left out; COCO's metrics want all.

        Raises:
            DataError: the model finds no objects; COCO has no such form for anything else.
        """
        return coco_rows(self.prediction, self.info, image_id, threshold)

    def to_supervision(self, *, threshold: float = THRESHOLD) -> Any:
        """Return ``supervision.Detections`` of objects and texts, ``supervision.Classifications`` of a whole image.

        Raises:
            SetupError: supervision is not installed.
            DataError: it has no form for what the model says.
        """
        try:
            supervision: Any = importlib.import_module("supervision")
        except ImportError:
            raise SetupError("to_supervision: supervision is not installed; pip install supervision") from None
        if self.probabilities is not None:
            order = np.arange(len(self.probabilities))
            return supervision.Classifications(class_id=order, confidence=self.probabilities.numpy())
        if self.scores is None or (self.boxes is None and self.polygons is None):
            raise DataError(f"to_supervision: has no form for {listed(self.prediction)}; take to_dict() or the tensors")
        kept = attrs.evolve(self, prediction=select(self.prediction, self.scores >= threshold))
        boxes: Any = kept.boxes if kept.polygons is None else around(kept.polygons)
        data = {"class_name": kept.names, "text": kept.texts}
        return supervision.Detections(
            xyxy=boxes.numpy(),
            confidence=kept.prediction["scores"].numpy(),
            class_id=np.zeros(len(boxes), int) if kept.labels is None else kept.labels.numpy(),
            mask=None if kept.masks is None else kept.masks.numpy(),
            data={key: np.array(value) for key, value in data.items() if value is not None},
        )

    def only(self, classes: Collection[int]) -> Result:
        """Return the result without objects, segments, pixels and probabilities of other classes.

        Args:
            classes: indices of ``info.classes + info.stuff``, from :func:`class_indices`.

        Raises:
            ConfigError: the model tells no classes apart.
        """
        prediction, wanted = dict(self.prediction), torch.tensor(sorted(classes), dtype=torch.int64)
        if not {"labels", "probabilities", "semantic", "segments"} & set(prediction):
            raise ConfigError("--class: this model tells no classes apart; leave it out")
        if "labels" in prediction:
            prediction = select(prediction, torch.isin(prediction["labels"], wanted))
        if "probabilities" in prediction:
            others = ~torch.isin(torch.arange(len(prediction["probabilities"])), wanted)
            prediction["probabilities"] = prediction["probabilities"].masked_fill(others, 0.0)
            if "label" in prediction and int(prediction["label"]) not in classes:
                prediction["label"] = prediction["probabilities"].argmax()
        if "semantic" in prediction:
            pixels = prediction["semantic"]
            prediction["semantic"] = pixels.masked_fill(~torch.isin(pixels.long(), wanted), IGNORE)
        if "segments" in prediction:
            prediction["segments"] = [s for s in prediction["segments"] if int(s["category"]) in classes]
            ids = torch.tensor([int(s["id"]) for s in prediction["segments"]], dtype=torch.int64)
            pixels = prediction["panoptic"]
            prediction["panoptic"] = pixels.masked_fill(~torch.isin(pixels.long(), ids), 0)
        return attrs.evolve(self, prediction=prediction)


def class_indices(names: Sequence[str], info: DatasetInfo) -> frozenset[int]:
    """Return the indices of classes by name; ConfigError where the model does not know one."""
    known = (*info.classes, *info.stuff)
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"--class {name}: the model has no such class{hint}; it has {listed(known)}")
    return frozenset(known.index(name) for name in names)
