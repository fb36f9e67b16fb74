"""What models that read words have in common: batches in, losses or texts out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf_ocr.recognition.codec import Codec
from vf_ocr.recognition.ctc import Read, beam_search, ctc_loss, greedy, spread_loss
from vf_ocr.recognition.preprocess import WordResize

if TYPE_CHECKING:
    from vf.protocols import Prediction


class Reader(nn.Module):
    """A model that reads the crop of a word. What it says of one does not depend on those beside it.

    Args:
        characters: that it can say.
        preprocess: of crops.
    """

    def __init__(self, *, characters: Sequence[str], preprocess: WordResize) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.codec = Codec(characters)

    def losses(self, images: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the losses of reading preprocessed images [N,*,H,W] as ``texts``; N may be 0."""
        raise NotImplementedError

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return what the network says of crops [N,3,H,W] in 0..255 of one width; see `vf.protocols.Model`."""
        raise NotImplementedError

    def found(self, raw: Mapping[str, Tensor]) -> list[Read]:
        """Return what is read in what :meth:`raw` gives."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else one prediction for each image: ``text`` and ``score``."""
        if self.training:
            return self.losses(self.preprocess(batch.images, batch.sizes), batch.targets["text"])
        read = self.read(batch.images, batch.sizes[:, 1].tolist())
        return [{"text": text, "score": torch.tensor(score)} for text, score in read]  # type: ignore[dict-item]

    @torch.no_grad()
    def read(self, images: Tensor, widths: Sequence[int]) -> list[tuple[str, float]]:
        """Return text and probability of each crop.

        Args:
            images: [N,3,H,W] in 0..255, H as ``preprocess`` makes it.
            widths: of each crop in its image, from the left, px.
        """
        said: list[tuple[str, float]] = [("", 0.0)] * len(widths)
        at = [self.preprocess.padded_width(width) for width in widths]
        for width in sorted(set(at)):
            rows = [row for row, own in enumerate(at) if own == width]
            part = self.preprocess.padded(images[rows] if len(rows) < len(widths) else images, width)
            raw = self.raw(part, torch.tensor(part.shape[-2:], device=part.device).expand(len(rows), 2))
            for row, (indices, score) in zip(rows, self.found(raw), strict=True):
                said[row] = self.codec.decode(indices), min(1.0, math.exp(score))
        return said


class Columns(Protocol):
    """A net whose columns are read one by one. Also an ``nn.Module``."""

    width: int
    """Channels of a column."""

    def features(self, images: Tensor) -> Tensor:
        """Preprocessed images [N,*,H,W] -> columns [N,T,width]."""
        ...

    def logits(self, features: Tensor) -> Tensor:
        """Columns -> logits [N,T,C+1], the blank last."""
        ...


class CTCReader(Reader):
    """Reads by columns: a net says for each what is in it, and blanks keep characters apart.

    Args:
        net: sees the columns and says what is in them.
        characters: C of them.
        preprocess: of crops.
        beam: prefixes that the search keeps; 1: the best path.
        guide: weight of a second head, in training, that learns which character stands in each column as if all were
            of one width. CTC alone says nothing but blanks for long before it finds the characters.
    """

    def __init__(
        self, net: Columns, *, characters: Sequence[str], preprocess: WordResize, beam: int = 1, guide: float = 0.0
    ) -> None:
        super().__init__(characters=characters, preprocess=preprocess)
        self.net, self.beam, self.guide = net, beam, guide
        if guide:
            self.guide_head = nn.Linear(net.width, len(characters))

    def losses(self, images: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the loss of CTC, and that of the guide where there is one."""
        features = self.net.features(images)
        logits = self.net.logits(features)
        labels, lengths = self.codec.joined(texts)
        labels = labels.to(images.device)
        guided = self.guide_head(features) if self.guide else None
        with torch.autocast(images.device.type, enabled=False):
            losses = {"ctc": ctc_loss(logits, labels, lengths)}
            if guided is not None:
                losses["guide"] = self.guide * spread_loss(guided, labels, lengths)
        return losses

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``log_probs`` float32 [N,T,C+1] of each column, the blank last."""
        logits = self.net.logits(self.net.features(self.preprocess.normalised(images)))
        return {"log_probs": logits.float().log_softmax(-1)}

    def found(self, raw: Mapping[str, Tensor]) -> list[Read]:
        """Return the best path, or the best sequence of a beam search."""
        log_probs = raw["log_probs"]
        return greedy(log_probs) if self.beam == 1 else beam_search(log_probs, self.beam)
