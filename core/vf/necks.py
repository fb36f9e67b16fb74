"""What ``neck`` of a model chooses from: how levels of a backbone are brought to one width. Free of torch."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from vf.errors import ConfigError
from vf.schema import config, field, positive

if TYPE_CHECKING:
    from vf.nn.necks import Neck as Network

NORM_HELP = "after each convolution; none: the convolution has a bias"


@config
class Neck:
    """What ``neck`` chooses from by ``name``."""

    noun: ClassVar = "neck"

    channels: int = field(default=256, help="of every level that it gives", validator=positive())
    levels: int = field(
        default=5, help="that it gives; those beyond the backbone's have twice the stride each", validator=positive()
    )

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {cls.__name__.lower(): cls for cls in (FPN, PAFPN, BiFPN, HRFPN)}

    def build(self, channels: Sequence[int], strides: Sequence[int]) -> Network:
        """Build the network for levels of a backbone, fine to coarse.

        Raises:
            ConfigError: it cannot be built on these levels.
        """
        raise NotImplementedError

    def _check(self, strides: Sequence[int], *, fewest: int | None = None) -> None:
        """Raise ConfigError where strides do not double, or fewer levels are wanted than ``fewest``."""
        if any(b != 2 * a for a, b in itertools.pairwise(strides)):
            raise ConfigError(
                f"neck {type(self).__name__.lower()}: needs levels whose stride doubles, got strides {list(strides)}; "
                "change backbone.out"
            )
        if fewest is not None and self.levels < fewest:
            raise ConfigError(
                f"neck.levels: must be >= {fewest}, as many as the backbone gives, got {self.levels}; raise it, or "
                "change backbone.out"
            )


@config
class FPN(Neck):
    """Feature pyramid (arXiv 1612.03144): coarse levels are added to finer ones."""

    extra: Literal["pool", "conv_in", "conv_out"] = field(
        default="pool",
        help="levels beyond the backbone's: pool, as in Faster R-CNN; convolutions on its coarsest level (conv_in, "
        "as in RetinaNet) or on the neck's (conv_out, as in FCOS)",
    )
    extra_relu: bool = field(default=False, help="a ReLU before each extra convolution but the first")
    norm: Literal["none", "bn", "sync_bn", "gn"] = field(default="none", help=NORM_HELP)

    def build(self, channels: Sequence[int], strides: Sequence[int]) -> Network:
        """Build the network."""
        from vf.nn import necks

        self._check(strides, fewest=len(channels))
        return necks.FPN(
            channels,
            strides,
            width=self.channels,
            levels=self.levels,
            extra=self.extra,
            extra_relu=self.extra_relu,
            norm=self.norm,
        )


@config
class PAFPN(FPN):
    """Path aggregation (arXiv 1803.01534): a feature pyramid, then fine levels are added to coarser ones."""

    def build(self, channels: Sequence[int], strides: Sequence[int]) -> Network:
        """Build the network."""
        from vf.nn import necks

        self._check(strides, fewest=len(channels))
        return necks.PAFPN(
            channels,
            strides,
            width=self.channels,
            levels=self.levels,
            extra=self.extra,
            extra_relu=self.extra_relu,
            norm=self.norm,
        )


@config
class BiFPN(Neck):
    """Weighted two-way pyramid, several times over (arXiv 1911.09070); for levels from stride 8 on."""

    channels: int = field(default=64, help="of every level; EfficientDet-D0: 64, D7: 384", validator=positive())
    layers: int = field(default=3, help="two-way passes; EfficientDet-D0: 3, D7: 8", validator=positive())
    norm: Literal["bn", "sync_bn", "gn"] = field(default="bn", help="after each convolution")

    def build(self, channels: Sequence[int], strides: Sequence[int]) -> Network:
        """Build the network."""
        from vf.nn import necks

        self._check(strides, fewest=max(2, len(channels)))
        return necks.BiFPN(
            channels, strides, width=self.channels, levels=self.levels, layers=self.layers, norm=self.norm
        )


@config
class HRFPN(Neck):
    """HRNet's neck (arXiv 1904.04514): all levels at the finest size, mixed, then pooled to each level."""

    step: Literal[1, 2] = field(
        default=1, help="2: levels begin at twice the backbone's finest stride, as detectors without stride 4 need it"
    )
    norm: Literal["none", "bn", "sync_bn", "gn"] = field(default="none", help=NORM_HELP)

    def build(self, channels: Sequence[int], strides: Sequence[int]) -> Network:
        """Build the network."""
        from vf.nn import necks

        self._check(strides)
        return necks.HRFPN(channels, strides, width=self.channels, levels=self.levels, step=self.step, norm=self.norm)
