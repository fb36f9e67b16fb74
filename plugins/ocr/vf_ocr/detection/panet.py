"""PAN (arXiv 1908.05900): text, kernels, and embeddings that draw the cells of a text to its kernel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vf_ocr.detection.detector import TextDetector
from vf_ocr.detection.kernels import IGNORE
from vf_ocr.detection.losses import hard_cells, square_dice

NEAR = 0.5
"""Distance from a kernel's mean that costs nothing (arXiv 1908.05900, section 3.3)."""
APART = 3.0
"""Distance of two kernels' means that costs nothing (likewise)."""
SHRINK = 1e-3
"""Weight of the means' own length, so that embeddings do not drift."""


class PANet(TextDetector):
    """Finds text, kernels of it, and an embedding for each cell.

    Args:
        weights: of the losses of kernels and of embeddings beside that of text.
        parts: what :class:`TextDetector` takes.
    """

    def __init__(self, *, weights: tuple[float, float], **parts: Any) -> None:
        super().__init__(**parts)
        self.weights = weights

    def losses(self, output: Tensor, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of text and kernels, of cells far from their kernel, of kernels too near to each other."""
        numbers, cores = maps["text_map"], maps["core_map"]
        logits = F.interpolate(output.float(), size=numbers.shape[-2:], mode="bilinear")
        known = numbers != IGNORE
        text = known & (numbers > 0)
        whole = square_dice(logits[:, 0].sigmoid(), text, hard_cells(logits[:, 0], text, known))
        kernel = square_dice(logits[:, 1].sigmoid(), cores == 1, text)
        pulls, pushes = [], []
        for own, number, core in zip(logits[:, 2:], numbers * text, (cores == 1) & text, strict=True):
            pull, push = embedding_losses(own, number, core)
            pulls.append(pull)
            pushes.append(push)
        return {
            "loss_text": whole,
            "loss_kernel": self.weights[0] * kernel,
            "loss_aggregation": self.weights[1] * torch.stack(pulls).mean(),
            "loss_discrimination": self.weights[1] * torch.stack(pushes).mean(),
        }

    def readable(self, output: Tensor) -> Tensor:
        """Return shares of text and kernels, and embeddings, [B,2+E,h,w]."""
        return torch.cat([output[:, :2].sigmoid(), output[:, 2:]], 1)


def embedding_losses(embedding: Tensor, numbers: Tensor, cores: Tensor) -> tuple[Tensor, Tensor]:
    """Return what cells cost that are far from the mean of their text's kernel, and means that are near to others.

    Args:
        embedding: float [E,h,w] of one image.
        numbers: integers [h,w], the text of a cell; 0 is none.
        cores: bool [h,w], kernels.
    """
    nothing = embedding.sum() * 0
    flat = embedding.flatten(1).T
    present, place = torch.unique(numbers[cores], return_inverse=True)
    if not len(present):
        return nothing, nothing
    sizes = torch.bincount(place).to(flat.dtype)
    means = torch.zeros(len(present), flat.shape[1], device=flat.device).index_add(0, place, flat[cores.flatten()])
    means = means / sizes[:, None]
    where = torch.searchsorted(present, numbers.flatten()).clamp(max=len(present) - 1)
    of_some = present[where] == numbers.flatten()
    where = where[of_some]
    far = F.relu((flat[of_some] - means[where]).norm(dim=1) - NEAR) ** 2
    cells = torch.zeros(len(present), device=flat.device).index_add(0, where, torch.log1p(far))
    pull = (cells / torch.bincount(where, minlength=len(present))).mean()
    length = SHRINK * torch.log1p(means.norm(dim=1)).sum() / (len(present) + 1)
    if len(present) == 1:
        return pull, length
    first, second = torch.triu_indices(len(present), len(present), 1, device=flat.device)
    close = F.relu(APART - (means[first] - means[second]).norm(dim=1)) ** 2
    return pull, torch.log1p(close).mean() + length
