"""PARSeq (arXiv 2207.06966): a vision transformer, and one decoder block that has learned to read in any order.

Queries are places: the one of a place asks what is known of other characters, and the image, which character stands
there. In training orders are drawn (permuted language modelling); what a query may see follows from the order. So the
same block reads from left to right, and refines a text that is there by looking at all but one character of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vf_ocr.recognition.attention import Attention, EncoderBlock, Pairs, joined, mlp
from vf_ocr.recognition.preprocess import WordResize
from vf_ocr.recognition.sequence import SequenceReader


class PARSeq(SequenceReader):
    """An encoder of patches and a decoder of one block.

    Args:
        characters: that it can say.
        preprocess: of crops, all of one size.
        patch: height and width of a patch, px.
        channels: of encoder and decoder.
        heads: of the encoder's attention.
        decoder_heads: of the decoder's.
        depth: blocks of the encoder.
        permutations: orders in which a batch is read in training; even, each comes with its reverse.
        refinements: times that a text is read again, given itself.
        dropout: probability, in training.
        max_length: most characters of a word.
    """

    def __init__(
        self,
        *,
        characters: Sequence[str],
        preprocess: WordResize,
        patch: tuple[int, int],
        channels: int,
        heads: int,
        decoder_heads: int,
        depth: int,
        permutations: int,
        refinements: int,
        dropout: float,
        max_length: int,
    ) -> None:
        super().__init__(characters=characters, preprocess=preprocess, max_length=max_length)
        self.permutations, self.refinements = permutations, refinements
        self.patches = nn.Conv2d(preprocess.channels, channels, patch, patch)
        count = math.prod(side // step for side, step in zip(preprocess.size, patch, strict=True))
        self.patch_places = nn.Parameter(torch.empty(1, count, channels).normal_(std=0.02))
        blocks = [EncoderBlock(channels, heads, hidden=4 * channels) for _ in range(depth)]
        self.encoder = nn.Sequential(*blocks, nn.LayerNorm(channels))
        self.embedding = nn.Embedding(len(characters) + 3, channels)
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.queries = nn.Parameter(torch.empty(1, max_length + 1, channels).normal_(std=0.02))
        self.norm_query, self.norm_said = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.norm_seen, self.norm_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.said, self.seen = Attention(channels, decoder_heads), Attention(channels, decoder_heads)
        self.mlp = mlp(channels, 4 * channels, dropout)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, len(characters) + 1))

    def encode(self, images: Tensor) -> Tensor:
        """Return what there is to see, [N,patches,channels]."""
        x = self.patches(images).flatten(2).transpose(1, 2) + self.patch_places
        out: Tensor = self.encoder(self.dropout(x))
        return out

    def losses(self, images: Tensor, texts: Sequence[str]) -> dict[str, Tensor]:
        """Return the mean cross entropy over orders; the end is read in the first order and its reverse alone."""
        targets = self.targets(texts, images.device)
        given = self.given(targets)
        known = ((given != self.pad) & (given != self.end))[:, None, None]
        said = self.said.pairs(self._content(given, 0))
        seen = self.seen.pairs(self.encode(images))
        without_end = targets.masked_fill(targets == self.end, self.pad)
        losses, weights = [], []
        for number, order in enumerate(drawn_orders(given.shape[1] - 1, self.permutations)):
            wanted = targets if number < 2 else without_end
            logits = self.head(self._asked(given.shape[1], said, seen, visible(order).to(images.device) & known))
            losses.append(self.cross_entropy(logits, wanted))
            weights.append((wanted != self.pad).sum())
        weight = torch.stack(weights).float()
        return {"ce": (torch.stack(losses) * weight).sum() / weight.sum().clamp(min=1)}

    def read_out(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Read from left to right, then again, given what was read."""
        seen = self.seen.pairs(self.encode(images))
        said: Pairs | None = None
        place = 0

        def step(last: Tensor) -> Tensor:
            nonlocal said, place
            said = joined(said, self.said.pairs(self._content(last[:, None], place)))
            x = self._asked(1, said, seen, None, first=place)
            place += 1
            logits: Tensor = self.head(x)[:, 0]
            return logits

        tokens, scores = self.say(images.shape[0], images.device, step)
        for _ in range(self.refinements):
            tokens, scores = self._refined(tokens, seen)
        return tokens, scores

    def _refined(self, tokens: Tensor, seen: Pairs) -> tuple[Tensor, Tensor]:
        """Read every place again, given what the others say up to the first end."""
        given = self.given(tokens)
        known = ((given == self.end).cumsum(1) == 0)[:, None, None]
        count = given.shape[1]
        # Query t asks for the character t + 1 of what was given.
        others = ~torch.eye(count + 1, dtype=torch.bool, device=given.device)[1:, :count]
        x = self._asked(count, self.said.pairs(self._content(given, 0)), seen, others & known)
        scores, tokens = self.head(x).float().log_softmax(-1).max(-1)
        return tokens, scores

    def _content(self, tokens: Tensor, first: int) -> Tensor:
        """Return what tokens [N,T] say; the first stands at place ``first``, where 0 is the begin, which has none."""
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)
        if first:
            x = x + self.queries[:, first - 1 : first - 1 + tokens.shape[1]]
        else:
            x = torch.cat((x[:, :1], x[:, 1:] + self.queries[:, : tokens.shape[1] - 1]), 1)
        out: Tensor = self.norm_said(self.dropout(x))
        return out

    def _asked(self, count: int, said: Pairs, seen: Pairs, mask: Tensor | None, *, first: int = 0) -> Tensor:
        """Return what ``count`` queries from place ``first`` on learn, [N,count,channels]."""
        queries = self.queries[:, first : first + count].expand(seen[0].shape[0], -1, -1)
        x = self.dropout(queries)
        x = x + self.dropout(self.said(self.norm_query(x), said, mask))
        x = x + self.dropout(self.seen(self.norm_seen(x), seen))
        out: Tensor = x + self.dropout(self.mlp(self.norm_mlp(x)))
        return out


def drawn_orders(length: int, count: int) -> list[Tensor]:
    """Return orders of ``length`` places: from left to right, its reverse, then drawn ones with their reverses.

    Args:
        length: of the longest text.
        count: of orders, 1 or even; no more than there are.
    """
    forward = torch.arange(length)
    if length < 2 or count == 1:
        return [forward]
    count = min(count, math.factorial(min(length, 10)))
    orders = [forward]
    while 2 * len(orders) < count:
        order = torch.randperm(length)
        if not any(torch.equal(order, other) or torch.equal(order, other.flip(0)) for other in orders):
            orders.append(order)
    return [way for order in orders for way in (order, order.flip(0))]


def visible(order: Tensor) -> Tensor:
    """Return bool [L+1,L+1]: what each of L characters and the end may see of the begin and the L characters.

    Args:
        order: [L], places in the order in which they are read.
    """
    length = len(order)
    rank = torch.empty(length + 2, dtype=torch.long)
    rank[0], rank[-1] = -1, length  # the begin comes first, the end last
    rank[order + 1] = torch.arange(length)
    return rank[None, :-1] < rank[1:, None]
