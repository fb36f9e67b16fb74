"""What ``loss`` of a segmenter chooses from: terms that are added up. Free of torch until ``build()``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import vf
from vf.errors import ConfigError, listed

if TYPE_CHECKING:
    from torch import Tensor

    Term = Callable[[Tensor, Tensor], Tensor]
    """Logits float32 [B,C,H,W] and classes int64 [B,H,W], 255 where nobody knows -> a scalar."""

__all__ = ["Boundary", "CrossEntropy", "Dice", "Focal", "Lovasz", "Ohem", "SegLoss", "Tversky"]


@vf.config
class SegLoss:
    """What an item of ``loss`` chooses from by ``name``."""

    noun: ClassVar = "loss"

    weight: float = vf.field(default=1.0, help="of this term in the sum", validator=vf.at_least(0))

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {
            "cross_entropy": CrossEntropy,
            "ohem": Ohem,
            "focal": Focal,
            "dice": Dice,
            "tversky": Tversky,
            "lovasz": Lovasz,
            "boundary": Boundary,
        }

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term, without its weight, for the classes of ``info``."""
        raise NotImplementedError


def _class_weights() -> Any:
    return vf.field(
        default=(),
        help="one for each class, in the data's order; nothing: all count alike",
        validator=vf.each(vf.at_least(0)),
    )


def _checked(weights: tuple[float, ...], info: vf.DatasetInfo) -> tuple[float, ...]:
    if weights and len(weights) != len(info.classes):
        raise ConfigError(
            f"loss.class_weights: expected {len(info.classes)} weights, one for each class of the data "
            f"({listed(info.classes)}), got {len(weights)}"
        )
    return weights


def _smooth() -> Any:
    return vf.field(default=1.0, help="pixels added above and below the line of the fraction", validator=vf.at_least(0))


@vf.config
class CrossEntropy(SegLoss):
    """Cross entropy, a mean over pixels."""

    class_weights: tuple[float, ...] = _class_weights()
    label_smoothing: float = vf.field(
        default=0.0, help="share of the target that goes to all classes alike", validator=vf.within(0, 1)
    )
    average: Literal["labelled", "all"] = vf.field(
        default="labelled", help="pixels that the sum is divided by; all: ignored ones too, as MMSegmentation does"
    )

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.pixelwise import CrossEntropy

        return CrossEntropy(
            class_weights=_checked(self.class_weights, info),
            label_smoothing=self.label_smoothing,
            over_all=self.average == "all",
        )


@vf.config
class Ohem(SegLoss):
    """Cross entropy of the hard pixels alone (online hard example mining), a mean over them."""

    threshold: float = vf.field(
        default=0.7, help="a pixel is hard whose own class has less probability", validator=vf.within(0, 1)
    )
    min_kept: int = vf.field(
        default=100_000, help="hardest pixels of an image that count in any case", unit="px", validator=vf.at_least(0)
    )
    class_weights: tuple[float, ...] = _class_weights()

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.pixelwise import Ohem

        return Ohem(threshold=self.threshold, min_kept=self.min_kept, class_weights=_checked(self.class_weights, info))


@vf.config
class Focal(SegLoss):
    """Cross entropy in which easy pixels count less (arXiv 1708.02002), a mean over labelled pixels."""

    gamma: float = vf.field(default=2.0, help="how much less; 0: cross entropy", validator=vf.at_least(0))
    class_weights: tuple[float, ...] = _class_weights()

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.pixelwise import Focal

        return Focal(gamma=self.gamma, class_weights=_checked(self.class_weights, info))


@vf.config
class Dice(SegLoss):
    """1 - Dice of the probabilities (arXiv 1606.04797), a mean over the classes that a batch has."""

    smooth: float = _smooth()
    squared: bool = vf.field(default=False, help="probabilities are squared below the line, as in the paper")

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.overlap import Dice

        return Dice(smooth=self.smooth, squared=self.squared)


@vf.config
class Tversky(SegLoss):
    """1 - Tversky index (arXiv 1706.05721): Dice in which misses and false alarms count differently."""

    alpha: float = vf.field(default=0.3, help="of false alarms", validator=vf.at_least(0))
    beta: float = vf.field(default=0.7, help="of misses", validator=vf.at_least(0))
    gamma: float = vf.field(
        default=1.0, help="exponent of 1 - index; focal Tversky (arXiv 1810.07842): 0.75", validator=vf.positive()
    )
    smooth: float = _smooth()

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.overlap import Tversky

        return Tversky(alpha=self.alpha, beta=self.beta, gamma=self.gamma, smooth=self.smooth)


@vf.config
class Lovasz(SegLoss):
    """Lovász extension of the IoU (arXiv 1705.08790), a mean over the classes that a batch has."""

    per_image: bool = vf.field(default=False, help="each image by itself, then their mean")

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.overlap import Lovasz

        return Lovasz(per_image=self.per_image)


@vf.config
class Boundary(SegLoss):
    """Probability times the signed distance to the class's border (arXiv 1812.07032); beside another term.

    It is below 0 where maps agree, and in px: weights around 0.01 suit it.
    """

    most: float = vf.field(default=20.0, help="distances are cut here", unit="px", validator=vf.positive())

    def build(self, info: vf.DatasetInfo) -> Term:
        """Build the term."""
        from vf_seg.losses.boundary import Boundary

        return Boundary(most=self.most)
