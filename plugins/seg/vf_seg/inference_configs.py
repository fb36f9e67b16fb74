"""What ``inference`` of a segmenter chooses from. Free of torch until ``build()``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import vf

if TYPE_CHECKING:
    from vf_seg.models.segmenter import Inference

__all__ = ["SegInference", "Slide", "Whole"]


@vf.config
class SegInference:
    """What ``inference`` chooses from by ``name``."""

    noun: ClassVar = "inference"

    probabilities: bool = vf.field(
        default=False, help="predictions have semantic_probabilities [C,H,W] too: 4 bytes for each class and pixel"
    )

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {"whole": Whole, "slide": Slide}

    def build(self) -> Inference:
        """Build the rules."""
        raise NotImplementedError


@vf.config
class Whole(SegInference):
    """The network sees the whole image at once."""

    def build(self) -> Inference:
        """Build the rules."""
        from vf_seg.models.segmenter import Inference

        return Inference(probabilities=self.probabilities)


@vf.config
class Slide(SegInference):
    """The network sees one window after another; where they overlap, the mean of their logits counts."""

    crop: tuple[int, int] = vf.field(
        help="height and width of a window; a smaller image is seen whole",
        unit="px",
        validator=vf.each(vf.positive()),
    )
    stride: tuple[int, int] = vf.field(
        help="from one window to the next, down and across", unit="px", validator=vf.each(vf.positive())
    )

    def __attrs_post_init__(self) -> None:
        if self.stride[0] > self.crop[0] or self.stride[1] > self.crop[1]:
            raise ValueError(
                f"stride {list(self.stride)} > crop {list(self.crop)} would leave pixels unseen; make it smaller"
            )

    def build(self) -> Inference:
        """Build the rules."""
        from vf_seg.models.segmenter import Inference

        return Inference(crop=self.crop, stride=self.stride, probabilities=self.probabilities)
