"""The transcriptions of the texts of one image, which follow its boxes."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

ILLEGIBLE = "###"
"""Transcription of a text that nobody can read, since ICDAR 2013: it is ignored."""


class Texts(tuple[str, ...]):
    """A tuple of N texts; rows of it are chosen as rows of a tensor are.

    Indexed by an int it gives a text; by a tensor, bool [N] or of indices, or by a slice, other Texts.
    """

    __slots__ = ()
    follows_boxes: ClassVar = True
    """Rows are dropped with those of the boxes (`vf.data.follow.select_rows`)."""

    def __getitem__(self, keep: Any) -> Any:
        if isinstance(keep, Tensor):
            if keep.ndim == 0:
                return tuple.__getitem__(self, int(keep))
            rows = torch.nonzero(keep).flatten() if keep.dtype == torch.bool else keep
            return Texts(tuple.__getitem__(self, row) for row in rows.tolist())
        found = tuple.__getitem__(self, keep)
        return Texts(found) if isinstance(keep, slice) else found
