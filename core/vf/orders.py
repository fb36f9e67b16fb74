"""What ``vf run export`` and ``vf run bench`` are asked for. Plain data, free of torch."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from vf.errors import ConfigError

Format = Literal["onnx", "torchscript", "torch_export"]


@attrs.frozen(kw_only=True)
class ExportOrder:
    """A file to write."""

    checkpoint: str
    """A run, a checkpoint or a weight file."""
    out: str = ""
    """Empty: named after the checkpoint, here."""
    format: Format = "onnx"
    overrides: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """``--set`` items on the recipe."""
    data: str | None = None
    """Folder in the place of the recipe's data, for the comparison."""
    images: str = ""
    """An image or a folder of images for the comparison, in the place of the data."""
    check: int = 8
    """Images to compare on."""
    dynamic: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(tuple),
    )
    """What is left open, of ``batch`` and ``size``; nothing: both, where the network takes several sizes."""
    size: tuple[int, int] | None = attrs.field(
        default=None,
        converter=attrs.converters.optional(tuple),
    )
    """Height and width of all images, px."""
    batch: int = 1
    """Images at once, where that is not left open."""
    opset: int | None = None
    """Of ONNX; nothing: the least that has all of the model's operators."""
    as_json: bool = False

    def __attrs_post_init__(self) -> None:
        unknown = set(self.dynamic or ()) - {"batch", "size"}
        if unknown:
            raise ConfigError(
                f"--dynamic {','.join(self.dynamic or ())}: expected batch, size, both with a comma, or none"
            )
        if self.size and self.dynamic and "size" in self.dynamic:
            raise ConfigError("--size: --dynamic size leaves it open; leave one of them out")
        if self.batch != 1 and (self.dynamic is None or "batch" in self.dynamic):
            raise ConfigError(
                f"--batch {self.batch}: the number of images is open; add --dynamic none or --dynamic size"
            )

    def plain(self) -> dict[str, Any]:
        """Return what makes the same again, for a job."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class BenchOrder:
    """What to measure."""

    model: str
    """A recipe, a run, a checkpoint, a weight file, or a file of ``vf run export``."""
    overrides: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """``--set`` items on the recipe."""
    data: str | None = None
    """Folder in the place of the recipe's data."""
    images: str = ""
    """An image or a folder of images, in the place of the data."""
    batch_sizes: tuple[int, ...] = attrs.field(default=(1, 4, 8), converter=tuple)
    """Images at once."""
    seconds: float = 3.0
    """For each batch size, and for each input pipeline."""
    workers: int | None = None
    """Processes of the input pipeline; nothing: the recipe's."""
    device: str = "auto"
    precision: str = "fp32"
    classes: int = 80
    """Of a recipe whose data are not here."""
    as_json: bool = False

    def plain(self) -> dict[str, Any]:
        """Return what makes the same again, for a job."""
        return attrs.asdict(self)
