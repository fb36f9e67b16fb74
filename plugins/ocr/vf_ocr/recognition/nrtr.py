"""NRTR (arXiv 1806.00926): a transformer reads the columns of an image and says one character after another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_ocr.recognition.attention import DecoderBlock, EncoderBlock, Pairs, joined
from vf_ocr.recognition.preprocess import WordResize
from vf_ocr.recognition.sequence import SequenceReader

STEMS = (32, 64)
"""Channels of the two convolutions before the encoder, as in the paper's modality-transform block."""


class NRTR(SequenceReader):
    """Two convolutions with stride 2, an encoder of columns, a decoder of characters.

    Args:
        characters: that it can say.
        preprocess: of crops.
        channels: of encoder and decoder.
        heads: of every attention.
        hidden: of every MLP.
        encoder: blocks of the encoder.
        decoder: blocks of the decoder.
        dropout: probability, in training.
        max_length: most characters of a word.
    """

    def __init__(
        self,
        *,
        characters: Sequence[str],
        preprocess: WordResize,
        channels: int,
        heads: int,
        hidden: int,
        encoder: int,
        decoder: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__(characters=characters, preprocess=preprocess, max_length=max_length)
        before, after = STEMS
        self.stem = nn.Sequential(
            *(nn.Conv2d(preprocess.channels, before, 3, 2, 1), nn.BatchNorm2d(before), nn.ReLU(inplace=True)),
            *(nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU(inplace=True)),
        )
        self.columns = nn.Linear(after * (preprocess.size[0] // 4), channels)
        blocks = [EncoderBlock(channels, heads, hidden=hidden, dropout=dropout) for _ in range(encoder)]
        self.encoder = nn.Sequential(*blocks, nn.LayerNorm(channels))
        self.embedding = nn.Embedding(len(characters) + 3, channels)
        nn.init.normal_(self.embedding.weight, std=channels**-0.5)
        self.decoder = nn.ModuleList(
            DecoderBlock(channels, heads, hidden=hidden, dropout=dropout) for _ in range(decoder)
        )
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, len(characters) + 1))
        self.dropout = nn.Dropout(dropout)

    def losses(self, images: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the cross entropy of each character, given those before it."""
        targets = self.targets(texts, images.device)
        given = self.given(targets)
        x = self._embedded(given, 0)
        mask = torch.ones(given.shape[1], given.shape[1], dtype=torch.bool, device=images.device).tril()
        seen = self.encode(images)
        for block in self.decoder:
            x = block(x, block.pairs_said(x), seen, mask)  # type: ignore[operator]
        return {"ce": self.cross_entropy(self.head(x), targets)}

    def encode(self, images: Tensor) -> Tensor:
        """Return what there is to see, [N,W/4,channels]."""
        features = self.stem(images).permute(0, 3, 1, 2).flatten(2)  # [N,W/4,channels × height]
        x = self.columns(features)
        out: Tensor = self.encoder(self.dropout(x + places(x.shape[1], x.shape[2]).to(x)))
        return out

    def read_out(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Say the likeliest characters one after another."""
        memory = self.encode(images)
        seen = [block.seen.pairs(memory) for block in self.decoder]  # type: ignore[union-attr,operator]
        said: list[Pairs | None] = [None] * len(self.decoder)
        place = 0

        def step(last: Tensor) -> Tensor:
            nonlocal place
            x = self._embedded(last[:, None], place)
            place += 1
            for number, block in enumerate(self.decoder):
                said[number] = known = joined(said[number], block.pairs_said(x))  # type: ignore[operator]
                x = block(x, known, seen[number])
            logits: Tensor = self.head(x)[:, 0]
            return logits

        return self.say(images.shape[0], images.device, step)

    def _embedded(self, tokens: Tensor, first: int) -> Tensor:
        """Return [N,T,channels] of tokens [N,T], of which the first stands at place ``first``."""
        channels = self.embedding.embedding_dim
        x = self.embedding(tokens) * math.sqrt(channels)
        out: Tensor = self.dropout(x + places(first + tokens.shape[1], channels)[first:].to(x))
        return out


def places(count: int, channels: int) -> Tensor:
    """Return sines and cosines of each place, [count,channels] (arXiv 1706.03762, section 3.5)."""
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    angles = torch.arange(count)[:, None] * rate
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :channels]
