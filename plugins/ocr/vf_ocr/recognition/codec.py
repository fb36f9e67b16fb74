"""Texts as class indices and back."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from vf_ocr.charsets import Charset


class Codec:
    """Indices of characters in the order of the charset; what a model adds to them comes after.

    Args:
        characters: the charset.
    """

    def __init__(self, characters: Sequence[str]) -> None:
        self.characters = tuple(characters)
        self._index = {character: index for index, character in enumerate(self.characters)}
        self._folded = functools.lru_cache(maxsize=100_000)(Charset(self.characters).folded)

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> list[int]:
        """Return the indices of a text's characters; those that are not in the charset are left out."""
        index = self._index
        return [index[character] for character in self._folded(text) if character in index]

    def decode(self, indices: Sequence[int]) -> str:
        """Return the text of indices under the number of characters."""
        return "".join(map(self.characters.__getitem__, indices))

    def joined(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return the indices of all texts in a row, and how many belong to each, int64."""
        rows = [self.encode(text) for text in texts]
        return torch.tensor([i for row in rows for i in row], dtype=torch.long), torch.tensor([len(r) for r in rows])

    def padded(self, texts: Sequence[str], *, length: int, end: int, pad: int) -> tuple[Tensor, Tensor]:
        """Return [N,L+1] rows of indices, then ``end``, then ``pad``; and which texts are not too long, bool [N].

        Args:
            texts: N of them.
            length: most characters of a text; of a longer one, that many are taken.
            end: index of the end.
            pad: index of what comes after it.
        """
        rows = [self.encode(text) for text in texts]
        fits = torch.tensor([len(row) <= length for row in rows], dtype=torch.bool)
        longest = min(length, max((len(row) for row in rows), default=0))
        out = torch.full((len(rows), longest + 1), pad)
        for place, row in enumerate(rows):
            kept = [*row[:longest], end]
            out[place, : len(kept)] = torch.tensor(kept)
        return out, fits
