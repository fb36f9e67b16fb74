"""Config class of the metric of text that is found. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

import vf

if TYPE_CHECKING:
    from vf.protocols import Metric

__all__ = ["Hmean"]


def _rising(instance: Any, attribute: attrs.Attribute[Any], value: tuple[float, ...]) -> None:
    if not value or list(value) != sorted(set(value)) or not 0 <= value[0] <= value[-1] <= 1:
        raise ValueError(f"must be rising numbers from 0 to 1, got {list(value)}")


@vf.config
class Hmean:
    """Harmonic mean of precision and recall at the best score, as ICDAR 2015 counts; end to end where texts count."""

    iou: float = vf.field(
        default=0.5, help="overlap above which what is found stands for a text", validator=vf.within(0, 1)
    )
    ignored: float = vf.field(
        default=0.5,
        help="part of its area on ignored text above which what is found does not count",
        validator=vf.within(0, 1),
    )
    scores: tuple[float, ...] = vf.field(
        default=(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), help="thresholds, of which the best is taken", validator=_rising
    )
    transcription: bool = vf.field(default=False, help="what is read must be right too: end to end, no word spotting")
    case: bool = vf.field(default=True, help="whether capitals count in what is read")

    def build(self, info: vf.DatasetInfo) -> Metric:
        """Build the metric; it needs nothing of ``info``."""
        from vf_ocr.metrics.hmean import Hmean as Metric_

        return Metric_(
            iou=self.iou,
            ignored=self.ignored,
            scores=self.scores,
            transcription=self.transcription,
            case=self.case,
        )
