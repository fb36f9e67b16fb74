"""Config classes of core's own transforms, callbacks and launcher."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vf.schema import Duration, at_least, config, field, positive, within

if TYPE_CHECKING:
    from vf.engine.callbacks import Callback
    from vf.launch import Job


@config
class HorizontalFlip:
    """Mirror left and right."""

    p: float = field(default=0.5, help="probability", validator=within(0, 1))

    def build(self) -> Callable[..., Any]:
        from torchvision.transforms import v2

        flip: Callable[..., Any] = v2.RandomHorizontalFlip(self.p)
        return flip


@config
class VerticalFlip:
    """Mirror top and bottom: for images without an up, like those of microscopes and satellites."""

    p: float = field(default=0.5, help="probability", validator=within(0, 1))

    def build(self) -> Callable[..., Any]:
        from torchvision.transforms import v2

        flip: Callable[..., Any] = v2.RandomVerticalFlip(self.p)
        return flip


@config
class ColorJitter:
    """Change brightness, contrast, saturation and hue by random factors."""

    brightness: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    contrast: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    saturation: float = field(default=0.0, help="largest change of the factor 1", validator=at_least(0))
    hue: float = field(default=0.0, help="largest turn, as a part of the circle", validator=within(0, 0.5))

    def build(self) -> Callable[..., Any]:
        from torchvision.transforms import v2

        jitter: Callable[..., Any] = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        return jitter


@config
class Ema:
    """Keep an exponential moving average of the weights; it is what is evaluated and saved."""

    decay: float = field(default=0.9998, help="of the average, at each optimizer step", validator=within(0, 1))
    ramp: float = field(
        default=2000.0,
        help="the decay grows as 1 - exp(-step / ramp); 0: constant",
        unit="steps",
        validator=at_least(0),
    )

    def build(self) -> Callback:
        from vf.engine.ema import Ema as EmaCallback

        return EmaCallback(decay=self.decay, ramp=self.ramp)


@config
class EarlyStop:
    """Stop when the best metric has not grown for a number of evaluations."""

    patience: int = field(default=10, help="evaluations without a new best", validator=positive())
    after: Duration = field(default=Duration(0, "steps"), help="never stop before this length")

    def build(self) -> Callback:
        from vf.engine.callbacks import EarlyStop as EarlyStopCallback

        return EarlyStopCallback(patience=self.patience, after=self.after)


@config
class Local:
    """Run in this process."""

    def launch(self, job: Job) -> int:
        """Run the job here and return its exit code."""
        from vf.worker import work

        return work(job)
