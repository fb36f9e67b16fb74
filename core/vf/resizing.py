"""Config of the image rules of detectors that keep an image's ratio: ``resize`` of a model. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from vf.schema import config, each, field, positive

if TYPE_CHECKING:
    from vf.nn.resize import KeepRatio


def _long_first(instance: Any, attribute: attrs.Attribute[Any], value: tuple[int, int]) -> None:
    if value[0] < value[1]:
        raise ValueError(f"must be the long side, then the short one, got {list(value)}")


@config
class Resize:
    """How a model sizes, pads and normalises images; mean, std and bgr are those of its pretrained weights."""

    short: int = field(default=800, help="goal of the short side", unit="px", validator=positive())
    long: int = field(default=1333, help="most that the long side may get", unit="px", validator=positive())
    train_short: tuple[int, ...] = field(
        default=(),
        help="in training, one of these by chance in the place of short",
        unit="px",
        validator=each(positive()),
    )
    divisor: int = field(default=32, help="batches are padded to a multiple of this", unit="px", validator=positive())
    pad: tuple[int, int] | None = field(
        default=None,
        help="long and short side that batches are padded to in training, upright or lying; nothing: divisor alone",
        unit="px",
        validator=_long_first,
    )
    mean: tuple[float, float, float] = field(
        default=(123.675, 116.28, 103.53), help="of the channels in the order that the network eats, in 0..255"
    )
    std: tuple[float, float, float] = field(
        default=(58.395, 57.12, 57.375), help="likewise", validator=each(positive(), length=3)
    )
    bgr: bool = field(default=False, help="the network eats blue, green, red: weights of caffe and Detectron2")

    def __attrs_post_init__(self) -> None:
        largest = max((self.short, *self.train_short))
        if largest > self.long:
            raise ValueError(f"short {largest} > long {self.long}")
        if self.pad is not None and (self.pad[0] < self.long or self.pad[1] < largest):
            raise ValueError(f"pad {list(self.pad)} is smaller than long {self.long} and short {largest}")

    def build(self) -> KeepRatio:
        """Build the rules."""
        from vf.nn.resize import KeepRatio

        return KeepRatio(
            short=self.short,
            long=self.long,
            train_short=self.train_short,
            divisor=self.divisor,
            pad=self.pad,
            mean=self.mean,
            std=self.std,
            bgr=self.bgr,
        )
