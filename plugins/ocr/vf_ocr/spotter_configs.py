"""Config class of the model that finds and reads. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import vf
from vf.errors import ConfigError
from vf.protocols import ModelConfig

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Spotter"]


@vf.config
class Spotter:
    """A detector of text and a model that reads words as one: pages in, texts out; ``vf ocr join`` makes one of two."""

    detector: ModelConfig = vf.field(help="a model that finds text: dbnet, psenet …")
    recogniser: ModelConfig = vf.field(help="a model that reads words: crnn, parseq …")
    read_weight: float = vf.field(
        default=1.0, help="of the loss of reading, beside those of finding", validator=vf.at_least(0)
    )
    detect_part: float = vf.field(
        default=1.0,
        help="part of the pages of a batch that the detector learns from; the recogniser learns from all",
        validator=vf.within(0, 1),
    )
    jitter: float = vf.field(
        default=0.05,
        help="how far corners of labelled words move in training, in parts of their height",
        validator=vf.within(0, 1),
    )
    grow: tuple[float, float] = vf.field(
        default=(-0.05, 0.3),
        help="least and most that their sides move outwards in training, likewise",
        validator=vf.each(vf.within(-0.5, 2), length=2),
    )
    upright: float = vf.field(
        default=2.0,
        help="words more than so many times as high as wide are read turned both ways too",
        validator=vf.at_least(1),
    )
    reads_labelled: bool = vf.field(
        default=False, help="where labels are at hand, read labelled words too, for word_accuracy on pages"
    )

    def __attrs_post_init__(self) -> None:
        if self.grow[0] > self.grow[1]:
            raise ValueError(f"grow: the first must not be larger than the second, got {list(self.grow)}")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build both for the characters of ``info``.

        Raises:
            ConfigError: one of them is no model of its kind.
        """
        from vf_ocr.detection.detector import TextDetector
        from vf_ocr.recognition.reader import Reader
        from vf_ocr.spotter.model import Spotter as Model

        recogniser = self.recogniser.build(info)
        if not isinstance(recogniser, Reader):
            raise ConfigError(
                f"model.recogniser: {type(recogniser).__name__} does not read words; expected crnn or another"
            )
        detector = self.detector.build(info)
        if not isinstance(detector, TextDetector):
            raise ConfigError(
                f"model.detector: {type(detector).__name__} does not find text; expected dbnet or another"
            )
        return Model(
            detector,
            recogniser,
            read_weight=self.read_weight,
            detect_part=self.detect_part,
            jitter=self.jitter,
            grow=self.grow,
            upright=self.upright,
            reads_labelled=self.reads_labelled,
        )
