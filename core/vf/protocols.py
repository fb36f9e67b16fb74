"""What config classes promise to build, and what the built objects promise to do.

A config class is a frozen attrs class (``@vf.config``) whose fields hold the only default, the type, the
validator and a line of help; ``build()`` imports what is heavy and passes flat keywords on. This file is free
of torch at run time: ``vf list`` and ``vf config check`` read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar, runtime_checkable

import attrs

from vf.translation import ClassRows as ClassRows
from vf.translation import ForeignWeights as ForeignWeights

T = TypeVar("T")

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from vf.data.entries import Entries
    from vf.data.sample import Batch, Sample
    from vf.downloads import RemoteFile
    from vf.engine.callbacks import Callback
    from vf.launch import Job
    from vf.nn.backbones.backbone import Backbone

    Prediction = dict[str, Tensor]
    """One image's result in the pixel frame of the decoded image, on the CPU. Keys that the core draws and
    writes: ``boxes`` [N,4] XYXY, ``scores`` [N] in 0..1, ``labels`` [N] class indices, ``masks`` [N,H,W] bool;
    ``semantic`` [H,W] class indices of pixels; ``probabilities`` [C] of the whole image's classes, and ``label``, its
    one class, where it has one; ``polygons`` [N,K,2] (x, y; short ones repeat their last corner) with ``scores`` and
    ``texts``, N strings; ``text``, of the whole image, with its ``score``.
    To lie in a file (`vf.predictions`) a value is a tensor, an array, plain data, or has a method ``plain()`` that
    returns plain data, which :class:`Results` makes a value of again."""


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
    multi_label: bool = False
    """Whether an image as a whole may have several of the classes, or none."""
    unlabelled: tuple[str, ...] = ()
    """Splits that nobody labelled: they can be predicted, not measured."""


@attrs.frozen
class Finding:
    """One line of ``vf data check``. An error stops a training before a model exists; a note does not."""

    level: Literal["error", "warning", "note"]
    text: str


class Dataset(Protocol):
    """Map-style: index -> undecorated sample, decoded when asked for. Small to pickle, safe to fork.

    Two optional methods serve ``loader.sampler``, without decoding images: ``sizes()`` returns the height and width
    of each sample [N,2] (for aspect_ratio), ``labels_of(index)`` the class indices of its objects (for class_aware).
    Two more serve ``vf run test --predictions``, which else decodes all images: ``id_of(index)`` returns a sample's id,
    ``target(index, size)`` the target of an image that was decoded to ``size`` (height, width).
    ``vf data`` lives on all of these and on two more: ``file_of(index)`` returns the storage and the name in it of an
    image (`vf.data.storage`), ``objects()`` flat facts of all objects (`vf.data.entries.Objects`). Where pixels have
    classes, ``pixels()`` takes the place of the last: how many of each class are in each image [N,C+1], the last column
    what is ignored.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Sample: ...


@runtime_checkable
class ModelConfig(Protocol):
    """Builds a :class:`Model`.

    An optional method ``foreign_weights(source: str) -> ForeignWeights | None`` says how ``vf convert`` reads the
    weights of another library, for a ``source`` of `vf.foreign.SOURCES`; None: it does not know them.
    """

    def build(self, info: DatasetInfo) -> torch.nn.Module: ...


@runtime_checkable
class BackboneConfig(Protocol):
    """Builds a :class:`vf.nn.backbones.backbone.Backbone`, without weights."""

    def build(self) -> Backbone: ...


@attrs.frozen(kw_only=True)
class Predicted:
    """What a model said of one image of a split."""

    id: str
    size: tuple[int, int]
    """Height and width of the image as decoded."""
    prediction: Prediction
    image_id: int | str | None = None
    """Its id in the data's own files, where its target has one under ``image_id``."""


class Results(Protocol):
    """The files that the predictions of a data set lie in; see :class:`DatasetConfig`."""

    def restore(self, prediction: dict[str, Any], size: tuple[int, int]) -> Prediction:
        """Make plain data what ``plain()`` made it of, for an image of ``size`` (height, width).

        Raises:
            DataError: a file gives something else.
        """
        ...

    def write(self, predicted: Iterable[Predicted], prefix: str, info: DatasetInfo) -> Sequence[str]:
        """Write what the server or the tools of the data set take, one image after another.

        Args:
            predicted: in the order of the split; can be gone through once.
            prefix: beginning of the names of the files.
            info: of the model; its ``category_ids`` are the data's, one for each of ``classes + stuff``, -1 where the
                data does not know the class.

        Returns:
            what was written: files and folders.

        Raises:
            DataError: the predictions lack what the form needs.
        """
        ...


@runtime_checkable
class DatasetConfig(Protocol):
    """Names a data set, knows its facts and builds its splits.

    An optional method ``build_as(split, *, evaluation: bool)`` builds a split to train on or to evaluate on whatever
    its name, where that makes a difference (crowd regions, masks as run lengths): cross-validation asks for it.
    Another, ``results()``, builds the :class:`Results` that ``vf run test --out-prefix`` writes. A third,
    ``as_delivered()``, returns the config of all that the files hold (masks, keypoints) in the splits that they have,
    none made of another: what ``vf data convert``, ``split`` and ``merge`` write.
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


Images = Literal["keep", "copy", "link"]
"""What becomes of the images beside labels that are written: they stay, and labels name their place; or are copied or
linked into the new folder."""


class Track(Protocol):
    """Yields items under a progress bar; see `vf.console.Console.track`."""

    def __call__(self, items: Iterable[T], label: str, total: int) -> Iterator[T]: ...


class Writer(Protocol):
    """Writes data sets in one format, sample by sample: memory does not grow with them.

    A method ``write_file(file, info, entries, track)`` writes one split into one file where the format can: images stay
    where they are.
    """

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write splits by name.

        Args:
            folder: empty; what names an image relative to it stays right where it is renamed.
            info: of the data; ``num_samples`` and ``notes`` are of no interest.
            splits: the samples, without their pixels.
            images: what becomes of the images.
            track: shows progress: items, label, number of items -> the items.

        Returns:
            lines for the user: what the format cannot say and was left out.

        Raises:
            DataError: the data cannot be written so.
        """
        ...


@runtime_checkable
class WriterConfig(Protocol):
    """Builds a :class:`Writer`."""

    task: ClassVar[str]
    """Of the data that it writes; the first writer of a task, by name, is the default."""

    def build(self) -> Writer: ...


@runtime_checkable
class DownloadConfig(Protocol):
    """Names the files of a published data set. An optional method ``finish(folder)`` runs when all are there."""

    def build(self) -> Sequence[RemoteFile]: ...


@runtime_checkable
class TransformConfig(Protocol):
    """Builds a torchvision v2 transform, a callable ``Sample -> Sample``, a :class:`MixTransform` or a
    :class:`BatchTransform`."""

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
    """Starts a job, here or elsewhere, and returns its exit code.

    Optional methods: ``launch_sweep(sweep) -> int`` starts all runs of a :class:`vf.sweeps.Sweep`, whose folders it
    makes; ``script(job) -> str`` and ``script_sweep(sweep) -> str`` return what it would submit, for ``--print``.
    """

    def launch(self, job: Job) -> int: ...


class Preprocess(Protocol):
    """A model's own image rules, the same in train, val, predict and export. Also an ``nn.Module``.

    An optional method ``finish(sample) -> Sample`` takes the place of ``fit`` in training where a transform decides on
    the size of samples: for targets that are made of others on the workers.

    Models that can be exported have rules with three more: ``frame``, the heights and widths of batches
    (`vf.nn.frame.Frame`); ``fixed(size)``, which returns rules that bring every image to one size, or raises
    ConfigError; ``described()``, which says as plain data what ``fit`` does, for who feeds the graph without vf.
    """

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

    A method ``with_tta(*, scales, flip, **options)`` returns a model that sees each image at several scales and, with
    ``flip``, mirrored too, and merges what it says: for evaluation only, with a ``preprocess`` of its own. It raises
    ConfigError where it cannot; options are its own, as the way to merge. Without the method, a model has no test-time
    augmentation (`vf.predict.Predictor.with_tta`).

    ``vf run export`` works with models that have ``raw(images, sizes) -> dict[str, Tensor]``: the network, from what
    :meth:`Preprocess.__call__` takes to named tensors whose rows are the images. In evaluation, ``forward`` gets
    from there alone what it needs weights for, as often as it likes; so an exported graph can take its place. How wide
    a batch is decides on nothing in it that is not a shape. A model that cannot be exported, and knows why, has
    ``not_exported: str``, a sentence for people. A module whose operator ONNX has later than in opset 18 says
    ``onnx_opset: int``.

    A method ``explain(batch) -> list[Tensor]`` says what of each image speaks for what is predicted of it: [H,W] from 0
    to 1 in the pixel frame of the decoded image, on the CPU. ``vf run test --cam`` draws it.

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


class BatchTransform(Protocol):
    """A transform of a whole batch on the device, in training (mixup, cutmix). Off in the final phase.

    It stands in ``augment:`` beside the others, whatever its place: they have seen each sample before.
    """

    batches: ClassVar[Literal[True]]

    def __call__(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Return the batch that the model is trained on.

        Args:
            batch: images uint8 [B,3,H,W], or float in 0..255 where another one came before; targets as collated.
            rng: of the CPU; all that is drawn comes from it, so that a step is the same whenever it is taken.

        Returns:
            another batch, images uint8 or float in 0..255; ``targets`` may have more keys, which the model knows.
        """
        ...


class Metric(Protocol):
    """Accumulates over batches in bounded memory, merges across processes, then computes.

    A metric that has to see another split first says which with ``learns_from: ClassVar[Split]``, and takes its batches
    with ``learn(predictions, targets)``, as ``update`` does; ``vf run test`` alone shows it. A method ``picture()``
    draws what was measured: a PIL image, which ``--show-dir`` keeps.
    """

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
