"""What config classes promise to build, and what the built objects promise to do.

A config class is a frozen attrs class (``@vf.config``) whose fields hold the only default, the type, the
validator and a line of help; ``build()`` imports what is heavy and passes flat keywords on. This file is free
of torch at run time: ``vf list`` and ``vf config check`` read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import attrs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from vf.data.sample import Batch, Sample
    from vf.engine.callbacks import Callback
    from vf.launch import Job
    from vf.nn.backbones.backbone import Backbone

    Prediction = dict[str, Tensor]
    """One image's result in the pixel frame of the decoded image, on the CPU. Keys that the core draws and
    writes: ``boxes`` [N,4] XYXY, ``scores`` [N] in 0..1, ``labels`` [N] class indices, ``masks`` [N,H,W] bool."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@attrs.frozen(kw_only=True)
class DatasetInfo:
    """Facts known only from the data. The class list goes from here to model, metric, checkpoint and export."""

    classes: tuple[str, ...]
    task: str
    num_samples: Mapping[str, int]
    """Split name -> number of images; a split that does not exist is absent."""
    fingerprint: str
    """Hash of the annotations: two runs with the same value saw the same labels."""
    notes: tuple[str, ...] = ()
    """Lines for the user: a split that was made, boxes that were dropped, images without objects."""
    palette: tuple[tuple[int, int, int], ...] | None = None
    """One RGB colour for each class, where the data has its own."""
    stuff: tuple[str, ...] = ()
    """What has no objects, as sky and road. Maps of pixels and segments count on with it after ``classes``: their
    indices are those of ``classes + stuff``."""
    keypoints: tuple[str, ...] = ()
    """Names of an object's keypoints, in their order."""
    category_ids: tuple[int, ...] = ()
    """The id of each of ``classes + stuff`` in the data's own files, for results that are written in their form."""


@attrs.frozen
class Finding:
    """One line of ``vf data check``. An error stops a training before a model exists; a note does not."""

    level: Literal["error", "warning", "note"]
    text: str


class Dataset(Protocol):
    """Map-style: index -> undecorated sample, decoded when asked for. Small to pickle, safe to fork.

    Two optional methods serve ``loader.sampler``, without decoding images: ``sizes()`` returns the height and width
    of each sample [N,2] (for aspect_ratio), ``labels_of(index)`` the class indices of its objects (for class_aware).
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


@runtime_checkable
class ModelConfig(Protocol):
    """Builds a :class:`Model`."""

    def build(self, info: DatasetInfo) -> torch.nn.Module: ...


@runtime_checkable
class BackboneConfig(Protocol):
    """Builds a :class:`vf.nn.backbones.backbone.Backbone`, without weights."""

    def build(self) -> Backbone: ...


@runtime_checkable
class DatasetConfig(Protocol):
    """Names a data set, knows its facts and builds its splits.

    An optional method ``build_as(split, *, evaluation: bool)`` builds a split to train on or to evaluate on whatever
    its name, where that makes a difference (crowd regions, masks as run lengths): cross-validation asks for it.
    """

    def info(self) -> DatasetInfo:
        """Read the facts. Raises DataError with every mistake that it finds in the annotations."""
        ...

    def build(self, split: Split) -> Dataset: ...

    def check(self) -> Sequence[Finding]:
        """Look for what would spoil a training, without decoding images."""
        ...

    @classmethod
    def sniff(cls, path: str) -> Mapping[str, Any] | None:
        """Return the keys that make ``path`` readable as this format (at least ``path``), or None."""
        ...


@runtime_checkable
class TransformConfig(Protocol):
    """Builds a torchvision v2 transform, a callable ``Sample -> Sample``, or a :class:`MixTransform`."""

    def build(self) -> Callable[..., Any]: ...


@runtime_checkable
class MetricConfig(Protocol):
    """Builds a :class:`Metric`."""

    def build(self, info: DatasetInfo) -> Metric: ...


@runtime_checkable
class CallbackConfig(Protocol):
    """Builds a :class:`vf.engine.callbacks.Callback`."""

    def build(self) -> Callback: ...


@runtime_checkable
class LauncherConfig(Protocol):
    """Starts a job, here or elsewhere, and returns its exit code."""

    def launch(self, job: Job) -> int: ...


class Preprocess(Protocol):
    """A model's own image rules, the same in train, val, predict and export. Also an ``nn.Module``."""

    pad_value: int
    """What a batch is padded with, in 0..255."""

    def fit(self, sample: Sample, *, with_target: bool) -> Sample:
        """Resize one uint8 sample on the CPU to the model's input size; the target too where asked."""
        ...

    def __call__(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Pad and normalise on the device.

        Args:
            images: uint8 [B,3,H,W] RGB, each image at the top left, the rest ``pad_value``.
            sizes: int64 [B,2], height and width of each image inside ``images``.

        Returns:
            float [B,3,H',W'], what the network eats.
        """
        ...


class Model(Protocol):
    """What the engine asks of the ``nn.Module`` that a :class:`ModelConfig` builds.

    Training: ``forward(batch) -> dict[str, Tensor]``, scalar losses; the engine minimises their sum.
    Entries whose name starts with ``_`` are logged, not minimised. Evaluation: ``forward(batch) ->
    list[Prediction]`` in the pixel frame of the decoded images. An optional method ``begin_final_phase()`` is
    called once when ``train.final`` begins (the last epochs, without mixing transforms), and again on resume.
    Another, ``load_pretrained(tell)``, is called once where a training starts from nothing: not on resume, not with
    ``train.init_from``; a model hands it on to its backbone.

    ``train.optimizer.layer_decay`` works with models that also have ``num_layers: int`` and
    ``layer_id(parameter_name: str) -> int``, from 0 (patch embedding, stem) to ``num_layers`` (what comes after
    the last block, as the head): a parameter's learning rate is multiplied by
    ``layer_decay ** (num_layers - layer_id)``.
    """

    preprocess: Preprocess

    def __call__(self, batch: Batch) -> Any: ...


class MixTransform(Protocol):
    """A transform that needs other samples of the data set (mosaic, mixup). Off in the final phase."""

    mixes: ClassVar[Literal[True]]

    def __call__(self, sample: Sample, pick: Callable[[], Sample]) -> Sample:
        """``pick()`` loads another sample, drawn uniformly from the same data set."""
        ...


class Metric(Protocol):
    """Accumulates over batches in bounded memory, merges across processes, then computes."""

    def update(self, predictions: Sequence[Prediction], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take one batch. Each target is as the data set gave it (pixels of the decoded image) plus ``id``."""
        ...

    def state(self) -> Any:
        """Plain data (tensors, numbers, lists, dicts) that ``merge`` of another process takes."""
        ...

    def merge(self, states: Sequence[Any]) -> None: ...

    def compute(self) -> dict[str, float | None]:
        """Name -> value; None where there is nothing to measure, never -1 or a silent 0."""
        ...

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Rows for people below the main numbers, for example one per class; may be empty."""
        ...
