"""A job: what a launcher starts, here or elsewhere. Plain data, written as text into the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from vf.errors import ConfigError, RunError, SetupError
from vf.runs import JOB, RECIPE, new_run


@attrs.frozen(kw_only=True)
class Nodes:
    """Which machines take part, where vf itself starts the processes."""

    count: int = 1
    rank: int = 0
    """Of this one, from 0."""
    address: str = "127.0.0.1"
    """Of node 0."""
    port: int = 0
    """On node 0; 0: a free one, for one node."""

    @classmethod
    def of(
        cls,
        count: int | None,
        rank: int | None,
        address: str,
        port: int | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Nodes:
        """Take what was given, else NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT or PORT.

        Raises:
            SetupError: with several machines, the address or port of machine 0 or this one's rank is not known.
        """

        def number(given: int | None, *names: str) -> int | None:
            name = next((n for n in names if n in environment), None)
            if given is not None or name is None:
                return given
            if not environment[name].isdecimal():
                raise SetupError(f"{name}: expected a whole number, got {environment[name]!r}")
            return int(environment[name])

        count = number(count, "NNODES") or 1
        if count == 1:
            return cls()  # what PORT means here, if anything, is not ours to judge
        rank, port = number(rank, "NODE_RANK"), number(port, "MASTER_PORT", "PORT")
        address = address or environment.get("MASTER_ADDR", "")
        unknown = {"--node-rank": rank is None, "--master-addr": not address, "--master-port": port is None}
        if any(unknown.values()):
            missing = ", ".join(name for name, is_unknown in unknown.items() if is_unknown)
            raise SetupError(f"--nodes {count}: set {missing} too, the same address and port on every machine")
        assert rank is not None
        assert port is not None
        if rank >= count:
            raise SetupError(f"--node-rank {rank}: expected 0 to {count - 1} for {count} machines")
        return cls(count=count, rank=rank, address=address, port=port)


@attrs.frozen(kw_only=True)
class Measurement:
    """What ``vf run test`` is asked for."""

    checkpoint: str = ""
    """A run, a checkpoint or a weight file; of a measurement of saved predictions, where the recipe is taken from."""
    predictions: str = ""
    """File of predictions to measure, instead of what a model says."""
    data: str | None = None
    """Folder to measure on, instead of the recipe's data; classes are matched by name."""
    split: Literal["train", "val", "test"] | None = None
    """Nothing: test where it is labelled, else val."""
    overrides: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """``--set`` items on the recipe."""
    device: str = "auto"
    limit: int | None = None
    """Batches to measure; nothing: all."""
    tta: tuple[float, ...] = attrs.field(default=(), converter=tuple)
    """Test-time augmentation: factors on the model's input size; none: no augmentation."""
    tta_flip: bool = True
    """See each image mirrored too."""
    tta_merge: str = ""
    """How what is found becomes one; empty: the model's own way."""
    out: str = ""
    """File for the predictions, .json or .parquet."""
    out_item: Literal["pred", "metrics"] = "pred"
    """What goes into it: predictions, or the numbers alone."""
    out_prefix: str = ""
    """Beginning of the files for the data set's server or tools."""
    format_only: bool = False
    """Measure nothing."""
    show_dir: str = ""
    show: bool = False
    wait_time: float = 0.0
    """Seconds that a window stays; 0: until a key is pressed."""
    show_score_thr: float = 0.3
    interval: int = 1
    """Every so many images are drawn."""
    cam: bool = False
    """Draw what of an image speaks for the answer, too."""
    as_json: bool = False

    def __attrs_post_init__(self) -> None:
        if not self.checkpoint and not self.predictions:
            raise ConfigError("say what to test: a run or a checkpoint, or --predictions FILE")
        if self.format_only and self.out_item == "metrics":
            raise ConfigError("--out-item metrics: --format-only measures nothing; leave one of them out")
        if self.format_only and not (self.out_prefix or self.out):
            raise ConfigError(
                "--format-only: say where: --out-prefix P for files P.bbox.json and the like, or --out FILE"
            )

    def plain(self) -> dict[str, Any]:
        """Return what makes the same again, for a job."""
        return attrs.asdict(self)

    @property
    def writes(self) -> bool:
        """Whether there is anything to do on images without labels."""
        kept = self.out and self.out_item == "pred"
        return bool(kept or self.out_prefix or self.show_dir or self.show)


@attrs.frozen(kw_only=True)
class Inference:
    """What ``vf run infer`` is asked for."""

    checkpoint: str
    """A run, a checkpoint or a weight file."""
    sources: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """What is predicted: see `vf.sources.opening.open_source`."""
    camera: int | None = None
    """Number of a camera that is predicted instead."""
    overrides: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """``--set`` items on the recipe."""
    score_thr: float = 0.3
    """Smallest score shown and written."""
    classes: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """Names of those that are shown and written; none: all."""
    fields: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """Of what is written; none: all."""
    batch_size: int | None = None
    """Nothing: as many as the recipe evaluates with."""
    workers: int = 2
    """Threads that decode."""
    device: str = "auto"
    precision: str = "fp32"
    every: int = 1
    """Of the frames of a video, each so many-th."""
    decode: Literal["cpu", "gpu"] = "cpu"
    """What decodes videos."""
    tile: int = 0
    """Side of the tiles that large images are seen in, px; 0: as a whole."""
    overlap: float = 0.2
    """Part of a tile that the next one sees too."""
    tile_merge: str = "nms"
    folder: bool = True
    """Write pictures and predictions.json into the folder of the job."""
    out_video: str = ""
    """File for the drawn frames of a video."""
    show: bool = False
    wait_time: float | None = None
    """Seconds that a window stays; 0: until a key; nothing: so, for images."""
    json: str = ""
    """File for the predictions, one list."""
    jsonl: str = ""
    """File for the predictions, a line an image; ``-``: stdout."""

    def __attrs_post_init__(self) -> None:
        if bool(self.sources) == (self.camera is not None):
            raise ConfigError("say what to predict: images, a folder, a video …, or --camera N alone")

    def plain(self) -> dict[str, Any]:
        """Return what makes the same again, for a job."""
        return attrs.asdict(self)


ONE_PROCESS = ("infer", "export", "bench")
"""Actions that are not shared out."""
NEWEST = "newest"
"""As a checkpoint: the newest good one of the run folder, or the beginning where there is none."""


@attrs.frozen(kw_only=True)
class Job:
    """One action on one resolved recipe."""

    action: Literal["train", "dry_run", "test", "infer", "export", "bench"]
    folder: str
    """The run folder; empty: rank 0 makes it, from ``out`` and ``name``."""
    recipe: str
    """Text of the resolved recipe."""
    source: str = ""
    """Name or file of the recipe, for people."""
    origins: Mapping[str, str] = attrs.field(factory=dict)
    """Dotted key of the recipe -> where it was set, of those that have not their default."""
    checkpoint: str = ""
    """Checkpoint folder to go on from, or NEWEST; empty: from the beginning."""
    batches: int = 0
    """Of a dry run."""
    out: str = ""
    """Where the user wants the folder; empty: runs/NAME-NUMBER."""
    name: str = ""
    """For the folder."""
    measurement: Mapping[str, Any] = attrs.field(factory=dict)
    """Of a test: what makes a :class:`Measurement`; the recipe is that of its checkpoint or file."""
    inference: Mapping[str, Any] = attrs.field(factory=dict)
    """Of an inference: what makes an :class:`Inference`."""
    order: Mapping[str, Any] = attrs.field(factory=dict)
    """Of an export or a bench: what makes one of `vf.orders`."""

    def made(self) -> Job:
        """Return the job with its run folder made and written; RunError where it is in the way."""
        job = attrs.evolve(self, folder=str(new_run(self.out or None, self.name)))
        job.write()
        return job

    def text(self) -> str:
        """Return the job as JSON."""
        return json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False)

    def write(self) -> Path:
        """Write the job into its folder, and the recipe of a training beside it."""
        folder = Path(self.folder)
        if self.recipe:
            fresh = folder / f".{RECIPE}.new"  # what names a folder a run is there whole, or not at all
            fresh.write_text(self.recipe, encoding="utf-8")
            fresh.replace(folder / RECIPE)
        path = folder / JOB
        path.write_text(self.text(), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job file; RunError where it is missing or was not written by :meth:`write`."""
        try:
            return cls.parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except FileNotFoundError:
            raise RunError(f"{path}: no such job file") from None
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def parse(cls, text: str, where: str) -> Job:
        """Take what :meth:`text` gave; RunError where it is something else."""
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(**data)
        except (ValueError, TypeError) as error:
            raise RunError(f"{where}: not a job file of this vf: {error}") from None
