"""What ``loss`` of a model chooses from. Free of torch until ``build()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import vf
from vf.errors import ConfigError, did_you_mean, listed

if TYPE_CHECKING:
    from vf_cls.losses import Loss as Built


def _smoothing() -> Any:
    return vf.field(
        default=0.0,
        help="part of each target that is spread over all classes alike (arXiv 1512.00567)",
        validator=vf.within(0, 1),
    )


def _weights() -> Any:
    return vf.field(
        default={},
        help="factor on the loss of a class by its name, as {cat: 2.0}; 1 for those that are not named",
    )


def _weights_of(weights: Mapping[str, float], classes: Sequence[str]) -> list[float] | None:
    """Bring weights by name into the order of the classes; None: all are 1."""
    for name, weight in weights.items():
        if name not in classes:
            raise ConfigError(
                f"model.loss.class_weights: the data have no class {name!r}"
                f"{did_you_mean(name, classes) or f'; they have {listed(classes)}'}"
            )
        if weight < 0:
            raise ConfigError(f"model.loss.class_weights.{name}: must be >= 0, got {weight:g}")
    return [weights.get(name, 1.0) for name in classes] if weights else None


@vf.config
class Loss:
    """What ``loss`` chooses from by ``name``."""

    noun: ClassVar = "loss"
    multi_label: ClassVar = True
    """Whether it takes images with any number of labels."""
    sigmoid: ClassVar = True
    """Whether a probability is that of one class alone."""

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {"cross_entropy": CrossEntropy, "bce": BCE, "focal": Focal, "asymmetric": Asymmetric}

    def build(self, classes: Sequence[str]) -> Built:
        """Build the loss for these classes."""
        raise NotImplementedError

    def fit(self, *, multi_label: bool) -> None:
        """Raise ConfigError where the labels of the data are not those of the loss."""
        if multi_label and not self.multi_label:
            name = next(n for n, c in self.choices().items() if c is type(self))
            own = [n for n, c in self.choices().items() if c.multi_label]
            raise ConfigError(
                f"model.loss: {name} is for images with one label each, and the data are multi-label; "
                f"take {listed(own)}: --set 'model.loss={{name: bce}}'"
            )


@vf.config
class CrossEntropy(Loss):
    """Softmax and cross entropy, of hard or soft labels; one label an image."""

    multi_label: ClassVar = False
    sigmoid: ClassVar = False

    smoothing: float = _smoothing()
    class_weights: dict[str, float] = _weights()

    def build(self, classes: Sequence[str]) -> Built:
        """Build the loss for these classes."""
        from vf_cls.losses import CrossEntropy

        return CrossEntropy(smoothing=self.smoothing, weights=_weights_of(self.class_weights, classes))


@vf.config
class BCE(Loss):
    """Sigmoid and binary cross entropy of every class: multi-label data, and single-label as in arXiv 2110.00476."""

    smoothing: float = _smoothing()
    threshold: float | None = vf.field(
        default=None,
        help="soft targets above it become 1 and the others 0, before smoothing; nothing: as they are",
        validator=vf.within(0, 1),
    )
    sum_classes: bool = vf.field(
        default=False, help="add up the classes of an image instead of taking their mean: for other rates and clipping"
    )
    class_weights: dict[str, float] = _weights()

    def build(self, classes: Sequence[str]) -> Built:
        """Build the loss for these classes."""
        from vf_cls.losses import BCE

        return BCE(
            smoothing=self.smoothing,
            threshold=self.threshold,
            sum_classes=self.sum_classes,
            weights=_weights_of(self.class_weights, classes),
        )


@vf.config
class Focal(Loss):
    """Binary cross entropy that dwells on what is hard (arXiv 1708.02002); summed over classes."""

    gamma: float = vf.field(default=2.0, help="how little the easy ones count; 0: all alike", validator=vf.at_least(0))
    alpha: float | None = vf.field(
        default=0.25,
        help="weight of what is there; 1 - alpha of what is not; nothing: both 1",
        validator=vf.within(0, 1),
    )

    def build(self, classes: Sequence[str]) -> Built:
        """Build the loss for these classes."""
        from vf_cls.losses import Focal

        return Focal(gamma=self.gamma, alpha=self.alpha)


@vf.config
class Asymmetric(Loss):
    """ASL (arXiv 2009.14119): classes that are absent, which are most, weigh less the surer they are; summed."""

    gamma_positive: float = vf.field(default=0.0, help="exponent for classes that are there", validator=vf.at_least(0))
    gamma_negative: float = vf.field(default=4.0, help="exponent for those that are not", validator=vf.at_least(0))
    margin: float = vf.field(
        default=0.05, help="probability below which an absent class costs nothing", validator=vf.within(0, 1)
    )

    def build(self, classes: Sequence[str]) -> Built:
        """Build the loss for these classes."""
        from vf_cls.losses import Asymmetric

        return Asymmetric(gamma_positive=self.gamma_positive, gamma_negative=self.gamma_negative, margin=self.margin)
