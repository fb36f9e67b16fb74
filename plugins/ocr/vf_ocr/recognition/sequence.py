"""What models that say one character after another have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from vf.nn.tracing import tracing
from vf_ocr.recognition.ctc import Read
from vf_ocr.recognition.preprocess import WordResize
from vf_ocr.recognition.reader import Reader


class SequenceReader(Reader):
    """Indices: the characters, then ``end``, then ``begin`` and ``pad``, which are never said.

    Args:
        characters: that it can say.
        preprocess: of crops.
        max_length: most characters of a word; longer ones teach nothing.
    """

    def __init__(self, *, characters: Sequence[str], preprocess: WordResize, max_length: int) -> None:
        super().__init__(characters=characters, preprocess=preprocess)
        self.max_length = max_length
        self.end, self.begin, self.pad = (len(characters) + k for k in range(3))

    def targets(self, texts: Sequence[str], device: torch.device) -> Tensor:
        """Return [N,L+1]: the characters of each text, ``end``, ``pad``; of texts that are too long, ``pad`` alone."""
        rows, fits = self.codec.padded(texts, length=self.max_length, end=self.end, pad=self.pad)
        rows[~fits] = self.pad
        return rows.to(device)

    def given(self, targets: Tensor) -> Tensor:
        """Return what is said before each of ``targets`` [N,L+1]: ``begin``, then the characters."""
        return torch.cat((targets.new_full((targets.shape[0], 1), self.begin), targets[:, :-1]), 1)

    def cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean over what is not ``pad``; 0 where all is.

        Args:
            logits: [N,L+1,characters + 1].
            targets: [N,L+1].
        """
        kept = targets != self.pad
        total = F.cross_entropy(logits[kept].float(), targets[kept], reduction="sum")
        return total / kept.sum().clamp(min=1)

    def say(self, count: int, device: torch.device, step: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Say the likeliest character, then the next, until all rows have ended.

        Args:
            count: N.
            device: of the result.
            step: what was said last, [N], ``begin`` at first -> logits of what comes now, [N,characters + 1].

        Returns:
            tokens [N,T], and the logarithms of their probabilities [N,T]; what comes after an end means nothing.
        """
        last = torch.full((count,), self.begin, device=device)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        tokens, scores = [], []
        for _ in range(self.max_length + 1):
            best, last = step(last).float().log_softmax(-1).max(-1)
            tokens.append(last)
            scores.append(best)
            ended = ended | (last == self.end)
            # A graph has all steps; what comes after an end is cut away.
            if not tracing() and bool(ended.all()):
                break
        return torch.stack(tokens, 1), torch.stack(scores, 1)

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``tokens`` int64 [N,T], and ``scores`` [N,T], the logarithms of their probabilities."""
        tokens, scores = self.read_out(self.preprocess.normalised(images))
        return {"tokens": tokens, "scores": scores}

    def found(self, raw: Mapping[str, Tensor]) -> list[Read]:
        """Return what is said before the end."""
        return self.cut(raw["tokens"], raw["scores"])

    def read_out(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return what is said of normalised images [N,*,H,W], as :meth:`say` does."""
        raise NotImplementedError

    def cut(self, tokens: Tensor, scores: Tensor) -> list[Read]:
        """Return what each row says before its first end, and the probability of that with its end.

        Args:
            tokens: [N,T].
            scores: [N,T], logarithms of probabilities.
        """
        ends = (tokens == self.end).long()
        before = ends.cumsum(1) - ends == 0  # up to the first end, with it
        totals = torch.where(before, scores, 0.0).double().sum(1).tolist()
        lengths = (before & (tokens != self.end)).sum(1).tolist()
        rows = tokens.tolist()
        return [(row[:length], total) for row, length, total in zip(rows, lengths, totals, strict=True)]
