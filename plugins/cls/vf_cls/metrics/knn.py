"""k nearest neighbours on the features of a model (Wu et al., arXiv 1805.01978): how much they say without a head."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vf.errors import ConfigError
from vf_cls.metrics.seen import labelled, ratio

AT_ONCE = 1024
"""Images that are compared with all others at one time."""


class Rows:
    """Features in half precision, labels, and a hash of the id of each image."""

    def __init__(self) -> None:
        self.features: list[Tensor] = []
        self.labels: list[NDArray[np.int64]] = []
        self.hashes: list[NDArray[np.int64]] = []

    def add(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch.

        Raises:
            ConfigError: predictions hold no features.
        """
        known, labels = labelled(predictions, targets)
        targets = [target for target in targets if len(target["labels"])]
        if not known:
            return
        if "features" not in known[0]:
            raise ConfigError("metric knn: predictions hold no features; --set model.features=true")
        features = torch.stack([prediction["features"] for prediction in known])
        self.features.append(F.normalize(features.float(), dim=1).half())
        self.labels.append(labels)
        digests = [hashlib.blake2b(target["id"].encode(), digest_size=8).digest() for target in targets]
        self.hashes.append(np.array([int.from_bytes(digest, "little", signed=True) for digest in digests], np.int64))

    def __len__(self) -> int:
        return sum(map(len, self.labels))

    def keep(self, most: int) -> None:
        """Drop the images with the largest hashes, whatever order they came in."""
        if len(self) > most:
            hashes = np.concatenate(self.hashes)
            kept = np.sort(np.argsort(hashes, kind="stable")[:most])
            self.features = [torch.cat(self.features)[torch.from_numpy(kept)]]
            self.labels, self.hashes = [np.concatenate(self.labels)[kept]], [hashes[kept]]

    def state(self) -> dict[str, Any]:
        """All of it."""
        labels, hashes = ([torch.from_numpy(part) for part in parts] for parts in (self.labels, self.hashes))
        return {"features": self.features, "labels": labels, "hashes": hashes}

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take the rows of others instead, in an order that does not depend on who had them."""
        self.features = [part for state in states for part in state["features"]]
        self.labels = [part.numpy() for state in states for part in state["labels"]]
        self.hashes = [part.numpy() for state in states for part in state["hashes"]]
        if len(self):
            order = np.argsort(np.concatenate(self.hashes), kind="stable")
            self.features = [torch.cat(self.features)[torch.from_numpy(order)]]
            self.labels, self.hashes = [np.concatenate(self.labels)[order]], [np.concatenate(self.hashes)[order]]


class KNN:
    """Keeps the features of the training images and of those of the split.

    Args:
        num_classes: of the data.
        k: neighbours that vote.
        temperature: a vote counts exp(cosine / temperature).
        most: training images that are kept.
    """

    learns_from: ClassVar[Literal["train"]] = "train"

    def __init__(self, *, num_classes: int, k: int = 20, temperature: float = 0.07, most: int = 200_000) -> None:
        self._num_classes, self._k, self._temperature, self._most = num_classes, k, temperature, most
        self._known, self._asked = Rows(), Rows()

    def learn(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch of the training split."""
        self._known.add(predictions, targets)
        if len(self._known) > 2 * self._most:
            self._known.keep(self._most)

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch."""
        if targets and not len(self._known):
            raise ConfigError("metric knn: looks at the training images first, which vf run test alone does")
        self._asked.add(predictions, targets)

    def state(self) -> dict[str, Any]:
        """Features of both splits."""
        return {"known": self._known.state(), "asked": self._asked.state()}

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take what several processes saw instead of what this one holds."""
        self._known.merge([state["known"] for state in states])
        self._asked.merge([state["asked"] for state in states])

    def compute(self) -> dict[str, float | None]:
        """Return the part of the images that their neighbours name rightly."""
        self._known.keep(self._most)
        if not len(self._asked):
            return {"knn_top1": None}
        known, asked = torch.cat(self._known.features), torch.cat(self._asked.features)
        labels = torch.from_numpy(np.concatenate(self._known.labels))
        truth = torch.from_numpy(np.concatenate(self._asked.labels))
        right = 0
        for part, own in zip(asked.split(AT_ONCE), truth.split(AT_ONCE), strict=True):
            right += int((self._vote(part.float(), known, labels) == own).sum())
        return {"knn_top1": ratio(right, len(self._asked))}

    def _vote(self, asked: Tensor, known: Tensor, labels: Tensor) -> Tensor:
        """Return the class of each of [B,D]; the nearest of all are found piece by piece."""
        best = asked.new_full((len(asked), 0), 0.0)
        names = labels.new_zeros(len(asked), 0)
        for piece, own in zip(known.split(AT_ONCE * 16), labels.split(AT_ONCE * 16), strict=True):
            cosine = torch.cat([best, asked @ piece.float().T], 1)
            both = torch.cat([names, own.expand(len(asked), -1)], 1)
            best, places = cosine.topk(min(self._k, cosine.shape[1]), 1)
            names = both.gather(1, places)
        votes = asked.new_zeros(len(asked), self._num_classes)
        votes.scatter_add_(1, names, (best / self._temperature).exp())
        return votes.argmax(1)

    def table(self) -> Sequence[tuple[str, float | None]]:
        """Nothing."""
        return ()
