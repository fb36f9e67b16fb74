"""Connectionist temporal classification: what a net says column by column, as a sequence (Graves et al., 2006).

The blank is the last class. Both searches take a whole batch; beams are rows of tensors.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

Read = tuple[list[int], float]
"""Class indices of one sequence, and the natural logarithm of its probability."""


def ctc_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over sequences of the negative log likelihood of each, divided by its length.

    A sequence that does not fit into the columns counts as 0.

    Args:
        logits: [N,T,C+1].
        labels: [sum of lengths], class indices in a row.
        lengths: [N].
    """
    count, columns = logits.shape[:2]
    log_probs = F.log_softmax(logits.float(), -1).transpose(0, 1)
    widths = torch.full((count,), columns)
    blank = logits.shape[-1] - 1
    return F.ctc_loss(log_probs, labels, widths, lengths.cpu(), blank=blank, zero_infinity=True)


def spread_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean cross entropy of columns whose characters are spread evenly over them.

    Sequences without characters count nothing.

    Args:
        logits: [N,T,C], without a blank.
        labels: [sum of lengths], class indices in a row.
        lengths: [N].
    """
    columns = logits.shape[1]
    lengths = lengths.to(logits.device)
    if not len(labels):
        return logits.sum() * 0.0
    middle = (torch.arange(columns, device=logits.device) + 0.5) / columns
    place = (middle * lengths[:, None]).long().minimum((lengths - 1)[:, None])  # [N,T]
    first = lengths.cumsum(0) - lengths
    spread = labels[(first[:, None] + place).clamp(min=0)]
    written = lengths > 0
    return F.cross_entropy(logits[written].flatten(0, 1).float(), spread[written].flatten())


def greedy(log_probs: Tensor) -> list[Read]:
    """Return what the best path says, with the probability of that path: a lower bound of the sequence's.

    Args:
        log_probs: [N,T,C+1].
    """
    if not log_probs.numel():
        return [([], 0.0) for _ in range(len(log_probs))]
    best, path = log_probs.max(-1)
    scores = best.double().sum(1).tolist()
    first = torch.ones_like(path, dtype=torch.bool)
    first[:, 1:] = path[:, 1:] != path[:, :-1]
    kept = first & (path != log_probs.shape[-1] - 1)
    counts = kept.sum(1).tolist()
    rows = path[kept].cpu().split(counts)
    return [(row.tolist(), score) for row, score in zip(rows, scores, strict=True)]


def beam_search(log_probs: Tensor, width: int) -> list[Read]:
    """Return the most probable sequence of each image, its paths summed, by prefix beam search.

    Exact where ``width`` is at least the number of prefixes that there are; the score is the sum over the paths that
    the search kept.

    Args:
        log_probs: [N,T,C+1].
        width: prefixes that are kept at each column.
    """
    count, columns, classes = log_probs.shape
    if not count:
        return []
    log_probs = log_probs.double()
    beams = _Beams(count, columns, classes - 1, width, log_probs)
    for t in range(columns):
        beams.step(log_probs[:, t])
    return beams.best()


class _Beams:
    """N × B prefixes with the logarithms of the probabilities of their paths that end with a blank, and that do not."""

    def __init__(self, count: int, columns: int, blank: int, width: int, like: Tensor) -> None:
        self._blank, self._width = blank, width
        self._prefixes = torch.full((count, 1, columns), -1, dtype=torch.long, device=like.device)
        self._lengths = torch.zeros(count, 1, dtype=torch.long, device=like.device)
        self._ended = like.new_zeros(count, 1)
        self._open = like.new_full((count, 1), -math.inf)

    @property
    def _both(self) -> Tensor:
        return torch.logaddexp(self._ended, self._open)

    def step(self, column: Tensor) -> None:
        """Take one column [N,C+1] of log probabilities."""
        classes, blank = column[:, None, : self._blank], column[:, self._blank :]
        last = self._prefixes.gather(2, (self._lengths - 1).clamp(min=0)[..., None])[..., 0]  # [N,B], -1: none yet
        place = last.clamp(min=0)
        # A prefix grows by a class; by its own last one only from paths that end with a blank.
        grown = self._both[..., None] + classes  # [N,B,C]
        repeated = self._ended + classes.expand_as(grown).gather(2, place[..., None])[..., 0]
        grown.scatter_(
            2, place[..., None], torch.where(last < 0, grown.gather(2, place[..., None])[..., 0], repeated)[..., None]
        )
        stays_open = torch.where(last < 0, -math.inf, self._open + column.gather(1, place))
        # What grows into a prefix that is kept already counts there.
        child, into = self._children(), place[:, None].expand(-1, last.shape[1], -1)  # [N,parent,child]
        gained = torch.where(child, grown.gather(2, into), -math.inf).logsumexp(1)
        counted = torch.zeros_like(grown).scatter_add_(2, into, child.to(grown.dtype)) > 0
        grown = torch.where(counted, -math.inf, grown)
        self._choose(self._both + blank, torch.logaddexp(stays_open, gained), grown)

    def _children(self) -> Tensor:
        """Return bool [N,B,B]: whether the second prefix is the first one and a class more."""
        stems = self._prefixes.scatter(2, (self._lengths - 1).clamp(min=0)[..., None], -1)
        alive = (self._lengths > 0) & (self._both > -math.inf)  # one that is impossible may be there twice
        return (self._prefixes[:, :, None] == stems[:, None]).all(-1) & alive[:, None]

    def _choose(self, ended: Tensor, open_: Tensor, grown: Tensor) -> None:
        """Keep the most probable of the prefixes that stay, [N,B] each, and of those that grow, [N,B,C]."""
        beams, classes = grown.shape[1:]
        pool = torch.cat((torch.logaddexp(ended, open_), grown.flatten(1)), 1)
        top = pool.topk(min(self._width, pool.shape[1]), 1).indices
        new = top >= beams
        parent = torch.where(new, (top - beams).div(classes, rounding_mode="floor"), top)
        added = (top - beams) % classes
        self._ended = torch.where(new, -math.inf, ended.gather(1, parent))
        self._open = torch.where(new, pool.gather(1, top), open_.gather(1, parent))
        lengths = self._lengths.gather(1, parent)
        prefixes = self._prefixes.gather(1, parent[..., None].expand(-1, -1, self._prefixes.shape[2]))
        end = lengths.clamp(max=prefixes.shape[2] - 1)[..., None]
        self._prefixes = prefixes.scatter(
            2, end, torch.where(new[..., None], added[..., None], prefixes.gather(2, end))
        )
        self._lengths = lengths + new

    def best(self) -> list[Read]:
        """Return the most probable prefix of each image."""
        scores, places = self._both.max(1)
        rows = self._prefixes[torch.arange(len(places)), places].tolist()
        lengths = self._lengths.gather(1, places[:, None])[:, 0].tolist()
        return [(row[:length], score) for row, length, score in zip(rows, lengths, scores.tolist(), strict=True)]
