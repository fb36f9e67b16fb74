"""Config classes of the models that read words. Free of torch until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import vf
from vf.translation import ForeignWeights

if TYPE_CHECKING:
    from torch import nn

    from vf_ocr.recognition.preprocess import WordResize

__all__ = ["CRNN", "NRTR", "PARSeq", "SVTRTiny"]

GREYS = {"mean": (127.5,), "std": (127.5,)}


def _size(default: tuple[int, int]) -> Any:
    return vf.field(
        default=default,
        help="height and width of words; the most that the width may get, where ratios are kept",
        unit="px",
        validator=vf.each(vf.at_least(8), length=2),
    )


def _ratio(default: str) -> Any:
    return vf.field(default=default, help="stretch words to size; keep their ratio; or keep it and pad on the right")


def _grey(default: bool = False) -> Any:
    return vf.field(default=default, help="see brightness alone, no colours")


def _beam() -> Any:
    return vf.field(default=1, help="prefixes that the search of CTC keeps; 1: the best path", validator=vf.positive())


def _guide() -> Any:
    return vf.field(
        default=0.0,
        help="weight of a second head that learns characters as if all were of one width; CTC then reads much sooner",
        validator=vf.at_least(0),
    )


def _max_length() -> Any:
    return vf.field(default=25, help="most characters of a word; longer ones teach nothing", validator=vf.positive())


def _dropout() -> Any:
    return vf.field(default=0.1, help="probability, in training", validator=vf.within(0, 0.9))


def _heads(default: int, help_: str) -> Any:
    return vf.field(default=default, help=help_, validator=vf.positive())


def _need_characters(info: vf.DatasetInfo, model: str) -> tuple[str, ...]:
    """Return the charset; DataError where the data have none."""
    if info.classes == ("text",):
        raise vf.DataError(
            f"model {model}: reads characters, and the data have the class 'text' alone: to be found, not read; "
            "set data.charset, or choose data of words"
        )
    return info.classes


def _preprocess(size: tuple[int, int], mode: Any, grey: bool) -> WordResize:
    from vf_ocr.recognition.preprocess import WordResize

    return WordResize(size=size, mode=mode, grey=grey, **(GREYS if grey else {}))


@vf.config
class CRNN:
    """CRNN (arXiv 1507.05717): convolutions, LSTMs, CTC. Small and fast; the first to try."""

    size: tuple[int, int] = _size((32, 160))
    ratio: Literal["stretch", "keep", "pad"] = _ratio("keep")
    grey: bool = _grey()
    body: Literal["vgg", "resnet"] = vf.field(
        default="vgg", help="convolutions: the paper's, or a residual net of an eighth of the work"
    )
    channels: int = vf.field(
        default=64, help="of the first convolution; the others have up to 8 times as many", validator=vf.positive()
    )
    hidden: int = vf.field(
        default=256, help="of each LSTM and direction; 0: none, each column is read by itself", validator=vf.at_least(0)
    )
    layers: int = vf.field(default=2, help="of LSTMs", validator=vf.positive())
    beam: int = _beam()
    guide: float = _guide()

    def __attrs_post_init__(self) -> None:
        if self.size[0] != 32:
            raise ValueError(f"size: its convolutions fold a height of 32 px away, got {self.size[0]}")

    def foreign_weights(self, source: str) -> ForeignWeights | None:
        """What there is to know of the weights of MMOCR."""
        from vf_ocr import foreign_readers

        return foreign_readers.crnn(self, source)

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the model for the characters of ``info``."""
        from vf_ocr.recognition import crnn
        from vf_ocr.recognition.reader import CTCReader

        characters = _need_characters(info, "crnn")
        preprocess = _preprocess(self.size, self.ratio, self.grey)
        net = crnn.CRNN(
            in_channels=preprocess.channels,
            classes=len(characters) + 1,
            body=self.body,
            channels=self.channels,
            hidden=self.hidden,
            layers=self.layers,
        )
        return CTCReader(net, characters=characters, preprocess=preprocess, beam=self.beam, guide=self.guide)


@vf.config
class SVTRTiny:
    """SVTR-tiny (arXiv 2205.00159): mixes patches near and far, reads by CTC; other sizes by its keys."""

    size: tuple[int, int] = _size((32, 128))
    ratio: Literal["stretch", "pad"] = _ratio("stretch")
    grey: bool = _grey()
    channels: tuple[int, int, int] = vf.field(
        default=(64, 128, 256), help="of each stage", validator=vf.each(vf.positive())
    )
    depths: tuple[int, int, int] = vf.field(
        default=(3, 6, 3), help="blocks of each stage", validator=vf.each(vf.positive())
    )
    heads: tuple[int, int, int] = vf.field(
        default=(2, 4, 8), help="of the attention of each stage", validator=vf.each(vf.positive())
    )
    local: int = vf.field(default=6, help="so many blocks, the first, see near patches alone", validator=vf.at_least(0))
    out_channels: int = vf.field(default=192, help="of the columns that are read", validator=vf.positive())
    dropout: float = _dropout()
    drop_path: float = vf.field(
        default=0.1, help="probability that the last block is passed by, in training", validator=vf.within(0, 0.9)
    )
    beam: int = _beam()
    guide: float = _guide()

    def __attrs_post_init__(self) -> None:
        if self.size[0] % 16 or self.size[1] % 4:
            raise ValueError(f"size must be multiples of 16 and 4, got {list(self.size)}")
        _check_heads(zip(self.channels, self.heads, strict=True))

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the model for the characters of ``info``."""
        from vf_ocr.recognition.reader import CTCReader
        from vf_ocr.recognition.svtr import SVTR

        characters = _need_characters(info, "svtr_tiny")
        preprocess = _preprocess(self.size, self.ratio, self.grey)
        net = SVTR(
            in_channels=preprocess.channels,
            classes=len(characters) + 1,
            size=self.size,
            channels=self.channels,
            depths=self.depths,
            heads=self.heads,
            local=self.local,
            out_channels=self.out_channels,
            dropout=self.dropout,
            drop_path=self.drop_path,
        )
        return CTCReader(net, characters=characters, preprocess=preprocess, beam=self.beam, guide=self.guide)


@vf.config
class NRTR:
    """NRTR (arXiv 1806.00926): a transformer that says one character after another; slower, and surer than CTC."""

    size: tuple[int, int] = _size((32, 160))
    ratio: Literal["stretch", "keep", "pad"] = _ratio("keep")
    grey: bool = _grey()
    channels: int = vf.field(default=512, help="of encoder and decoder", validator=vf.positive())
    heads: int = _heads(8, "of every attention")
    hidden: int = vf.field(default=1024, help="of every MLP", validator=vf.positive())
    encoder: int = vf.field(default=12, help="blocks of the encoder", validator=vf.positive())
    decoder: int = vf.field(default=6, help="blocks of the decoder", validator=vf.positive())
    dropout: float = _dropout()
    max_length: int = _max_length()

    def __attrs_post_init__(self) -> None:
        if self.size[0] % 4:
            raise ValueError(f"size: the height must be a multiple of 4, got {self.size[0]}")
        _check_heads([(self.channels, self.heads)])

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the model for the characters of ``info``."""
        from vf_ocr.recognition import nrtr

        return nrtr.NRTR(
            characters=_need_characters(info, "nrtr"),
            preprocess=_preprocess(self.size, self.ratio, self.grey),
            channels=self.channels,
            heads=self.heads,
            hidden=self.hidden,
            encoder=self.encoder,
            decoder=self.decoder,
            dropout=self.dropout,
            max_length=self.max_length,
        )


@vf.config
class PARSeq:
    """PARSeq (arXiv 2207.06966): a transformer that learned to read in any order, and refines what it read."""

    size: tuple[int, int] = _size((32, 128))
    ratio: Literal["stretch", "pad"] = _ratio("stretch")
    grey: bool = _grey()
    patch: tuple[int, int] = vf.field(
        default=(4, 8), help="height and width of a patch", unit="px", validator=vf.each(vf.positive(), length=2)
    )
    channels: int = vf.field(default=384, help="of encoder and decoder; 192 in the tiny one", validator=vf.positive())
    heads: int = _heads(6, "of the encoder's attention; 3 in the tiny one")
    decoder_heads: int = _heads(12, "of the decoder's attention; 6 in the tiny one")
    depth: int = vf.field(default=12, help="blocks of the encoder", validator=vf.positive())
    permutations: int = vf.field(default=6, help="orders in which a batch is read in training", validator=vf.positive())
    refinements: int = vf.field(
        default=1, help="times that a text is read again, given itself", validator=vf.at_least(0)
    )
    dropout: float = _dropout()
    max_length: int = _max_length()

    def __attrs_post_init__(self) -> None:
        if self.size[0] % self.patch[0] or self.size[1] % self.patch[1]:
            raise ValueError(f"size {list(self.size)} is no multiple of patch {list(self.patch)}")
        if self.permutations > 1 and self.permutations % 2:
            raise ValueError(f"permutations must be 1 or even, each with its reverse; got {self.permutations}")
        _check_heads([(self.channels, self.heads), (self.channels, self.decoder_heads)])

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build the model for the characters of ``info``."""
        from vf_ocr.recognition import parseq

        return parseq.PARSeq(
            characters=_need_characters(info, "parseq"),
            preprocess=_preprocess(self.size, self.ratio, self.grey),
            patch=self.patch,
            channels=self.channels,
            heads=self.heads,
            decoder_heads=self.decoder_heads,
            depth=self.depth,
            permutations=self.permutations,
            refinements=self.refinements,
            dropout=self.dropout,
            max_length=self.max_length,
        )


def _check_heads(pairs: Any) -> None:
    for channels, heads in pairs:
        if channels % heads:
            raise ValueError(f"channels {channels} is no multiple of heads {heads}")


READERS = (CRNN, SVTRTiny, NRTR, PARSeq)
"""The models that read words."""
