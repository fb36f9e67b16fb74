"""What ``train.optimizer`` chooses from: the optimizers of torch.optim and LAMB, and rules for single parameters."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import attrs

from vf.schema import at_least, config, each, field, positive, within

if TYPE_CHECKING:
    import torch


def _below_one(instance: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"must be from 0 to less than 1, got {value!r}")


def _zero(instance: Any, attribute: attrs.Attribute[Any], value: float) -> None:
    if value:
        raise ValueError(f"must be 0, because this optimizer has no weight decay, got {value!r}")


@config
class Rule:
    """What is different for the parameters whose dotted name matches ``pattern``."""

    pattern: str = field(
        help="shell-style glob over the whole dotted name, like 'backbone.*' or '*.bias'; * crosses dots, case counts"
    )
    lr_mult: float = field(default=1.0, help="factor on the learning rate", validator=at_least(0))
    decay_mult: float = field(default=1.0, help="factor on weight_decay", validator=at_least(0))
    frozen: bool = field(default=False, help="do not train them; norms that are frozen keep their statistics")


@config
class Optimizer:
    """What ``train.optimizer`` chooses from by ``name``.

    A subclass is named like the class that it builds, of torch.optim but for LAMB, and its own keys like torch's.
    """

    noun: ClassVar = "optimizer"
    fused_on_cuda: ClassVar = False
    """Whether ``implementation: auto`` takes the fused kernel on a GPU."""
    steps_shards: ClassVar = True
    """Whether torch can step weights that ``strategy: fsdp`` has sharded."""

    lr: float = field(help="peak learning rate for the global batch size", validator=positive())
    weight_decay: float = field(
        default=0.0, help="L2 decay (added to the gradient) of convolution and linear weights", validator=at_least(0)
    )
    decay_norm_and_bias: bool = field(default=False, help="decay norms and biases too")
    layer_decay: float | None = field(
        default=None,
        help="the learning rate falls by this factor with each layer from the output to the input, where the "
        "model numbers its layers; nothing: the same for all",
        validator=within(0, 1),
    )
    rules: tuple[Rule, ...] = field(
        default=(), help="of pattern, lr_mult, decay_mult, frozen; the first whose pattern matches a parameter counts"
    )
    implementation: Literal["auto", "foreach", "fused", "for-loop"] = field(
        default="auto", help="of the step; auto: fused on a GPU (sgd, adam, adamw), else foreach"
    )

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        listed = (SGD, AdamW, Adam, RMSprop, Adagrad, Adadelta, Adamax, NAdam, RAdam, ASGD, Adafactor, Rprop, LAMB)
        return {cls.__name__.lower(): cls for cls in listed}

    def build(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        """Make the torch optimizer for parameter groups, each of which brings its ``weight_decay``."""
        shared = set(_keys(Optimizer)) - {"lr"}
        own = {key: getattr(self, key) for key in _keys(type(self)) if key not in shared}
        made: torch.optim.Optimizer = getattr(self._library(), type(self).__name__)(
            groups, **own, **self._kernel(groups)
        )
        return made

    def _library(self) -> ModuleType:
        import torch

        return torch.optim

    def _kernel(self, groups: list[dict[str, Any]]) -> dict[str, bool]:
        wanted = self.implementation
        if wanted == "auto":
            on_gpu = all(p.device.type == "cuda" for group in groups for p in group["params"])
            wanted = "fused" if self.fused_on_cuda and on_gpu else "foreach"
        return {"fused": True} if wanted == "fused" else {"foreach": wanted == "foreach"}

    def base_momentum(self) -> float | None:
        """Return momentum or beta1, which a schedule may change; None where the optimizer has neither."""
        momentum: float | None = getattr(self, "momentum", None)
        betas: tuple[float, float] | None = getattr(self, "betas", None)
        return betas[0] if betas else momentum

    def momentum_options(self, value: float) -> dict[str, Any]:
        """Return the keys of a torch parameter group that make ``value`` its momentum."""
        betas: tuple[float, float] | None = getattr(self, "betas", None)
        return {"betas": (value, betas[1])} if betas else {"momentum": value}


def _keys(cls: type[Any]) -> list[str]:
    return [f.name for f in attrs.fields(cls)]


@config
class NotFused(Optimizer):
    """An optimizer for which torch has no fused kernel."""

    implementation: Literal["auto", "foreach", "for-loop"] = field(default="auto", help="of the step; auto: foreach")


def _betas() -> Any:
    return field(default=(0.9, 0.999), help="of the two moments", validator=each(_below_one))


def _eps(default: float) -> Any:
    return field(default=default, help="added to the denominator", validator=positive())


@config
class SGD(Optimizer):
    """Stochastic gradient descent with momentum."""

    fused_on_cuda: ClassVar = True

    momentum: float = field(default=0.9, help="of the velocity", validator=within(0, 1))
    dampening: float = field(default=0.0, help="of the gradient that enters the velocity", validator=within(0, 1))
    nesterov: bool = field(default=False, help="look ahead along the velocity")

    def __attrs_post_init__(self) -> None:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError("nesterov needs a momentum above 0 and a dampening of 0; set both or leave it out")


@config
class AdamW(Optimizer):
    """Adam with decoupled weight decay (arXiv 1711.05101)."""

    fused_on_cuda: ClassVar = True

    weight_decay: float = field(
        default=0.01, help="decoupled decay of convolution and linear weights", validator=at_least(0)
    )
    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-8)
    amsgrad: bool = field(default=False, help="divide by the largest second moment so far (Reddi et al., 2018)")


@config
class Adam(Optimizer):
    """Adam (arXiv 1412.6980); its decay goes through the moments, AdamW's does not."""

    fused_on_cuda: ClassVar = True

    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-8)
    amsgrad: bool = field(default=False, help="divide by the largest second moment so far (Reddi et al., 2018)")


@config
class RMSprop(NotFused):
    """Gradients over the root of their mean square (Hinton, lecture 6e, 2012)."""

    alpha: float = field(default=0.99, help="of the mean square", validator=_below_one)
    eps: float = _eps(1e-8)
    momentum: float = field(default=0.0, help="of the velocity", validator=within(0, 1))
    centered: bool = field(default=False, help="subtract the mean, as variance does (Graves, 2013)")


@config
class Adagrad(Optimizer):
    """Gradients over the root of the sum of all squares so far (Duchi et al., 2011)."""

    lr_decay: float = field(default=0.0, help="the rate falls as 1 / (1 + lr_decay * step)", validator=at_least(0))
    initial_accumulator_value: float = field(default=0.0, help="first sum of squares", validator=at_least(0))
    eps: float = _eps(1e-10)


@config
class Adadelta(NotFused):
    """Steps in the unit of the weights (arXiv 1212.5701); the paper's ``lr`` is 1."""

    rho: float = field(default=0.9, help="of both running mean squares", validator=_below_one)
    eps: float = _eps(1e-6)


@config
class Adamax(NotFused):
    """Adam with the infinity norm (arXiv 1412.6980, section 7.1)."""

    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-8)


@config
class NAdam(NotFused):
    """Adam with Nesterov momentum (Dozat, 2016)."""

    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-8)
    momentum_decay: float = field(default=0.004, help="of the momentum's own warm-up", validator=at_least(0))
    decoupled_weight_decay: bool = field(default=False, help="decay as AdamW does")


@config
class RAdam(NotFused):
    """Adam whose variance is rectified while it is young (arXiv 1908.03265)."""

    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-8)
    decoupled_weight_decay: bool = field(default=False, help="decay as AdamW does")


@config
class ASGD(NotFused):
    """Averaged gradient descent (Polyak and Juditsky, 1992). torch keeps the average but trains the plain weights."""

    lambd: float = field(default=1e-4, help="decay term of the rate", validator=at_least(0))
    alpha: float = field(default=0.75, help="power of the rate's fall", validator=at_least(0))
    t0: float = field(default=1e6, help="where averaging starts", unit="steps", validator=at_least(0))


@config
class Adafactor(NotFused):
    """Adam with a factored second moment, for little memory (arXiv 1804.04235); its decay is decoupled."""

    steps_shards: ClassVar = False

    beta2_decay: float = field(
        default=-0.8, help="beta2 of a step is 1 - step ** beta2_decay", validator=within(-10, 0)
    )
    eps: tuple[float | None, float] = field(
        default=(None, 1e-3),
        help="least square of a gradient (nothing: that of the number format), and of a weight's size",
        validator=each(attrs.validators.optional(positive())),
    )
    d: float = field(default=1.0, help="largest root mean square of a step", validator=at_least(1))


@config
class Rprop(NotFused):
    """Steps from signs alone (Riedmiller and Braun, 1993); for whole data sets in one batch.

    ``lr`` is the length of the first step; schedules have no hold on the later ones.
    """

    steps_shards: ClassVar = False

    weight_decay: float = field(default=0.0, help="there is none: 0", validator=_zero)
    etas: tuple[float, float] = field(default=(0.5, 1.2), help="factors after another and after the same sign")
    step_sizes: tuple[float, float] = field(
        default=(1e-6, 50.0), help="least and largest step", validator=each(positive())
    )

    def __attrs_post_init__(self) -> None:
        if not 0 < self.etas[0] < 1 < self.etas[1]:
            raise ValueError(f"etas must be one number between 0 and 1 and one above 1, got {list(self.etas)}")


@config
class LAMB(NotFused):
    """Adam with steps as long as each tensor's own length, for large batches (arXiv 1904.00962); decay is decoupled."""

    steps_shards: ClassVar = False

    betas: tuple[float, float] = _betas()
    eps: float = _eps(1e-6)

    def _library(self) -> ModuleType:
        from vf.engine import lamb

        return lamb
