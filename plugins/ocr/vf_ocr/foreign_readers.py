"""What our models that read words know of the weights of MMOCR 1.x. Free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vf.translation import ClassRows, ForeignWeights

if TYPE_CHECKING:
    from vf_ocr.recognition_configs import CRNN

LOWER = tuple("0123456789abcdefghijklmnopqrstuvwxyz")
"""Its dictionary ``lower_english_digits``, with which its published CRNN was trained; the blank comes after."""


def crnn(model: CRNN, source: str) -> ForeignWeights | None:
    """Rules of CRNN with the paper's convolutions. Its pixels are grey, less 127, over 127."""
    if source != "mmocr" or model.body != "vgg" or not model.hidden:
        return None
    return ForeignWeights(
        rules=(
            (r"backbone\.cnn\.(conv\d+\..+)", r"net.body.\1"),
            (r"backbone\.cnn\.batchnorm(\d+\..+)", r"net.body.norm\1"),
            (r"decoder\.decoder\.(\d+)\.rnn\.(.+)", r"net.columns.\1.rnn.\2"),
            (r"decoder\.decoder\.(\d+)\.embedding\.(.+)", r"net.columns.\1.linear.\2"),
        ),
        rows=(ClassRows(names=rf"net\.columns\.{model.layers - 1}\.linear\..+", background=True),),
        settings={"grey": True},
        known=((LOWER, tuple(range(len(LOWER)))),),
    )
