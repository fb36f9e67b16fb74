"""Precision, recall and their harmonic mean as ICDAR 2015's Robust Reading Competition counts them (challenge 4).

What is found and lies on text to be ignored with more than half of its area does not count. All else is held against
the text that is left, first come first served: text in its order, for each the first thing found that overlaps it by
an IoU above one half and has no text yet. Where transcriptions count, such a pair is right only if they are the same;
it takes both out in either case.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import torch
from numpy.typing import NDArray

from vf_ocr.geometry import areas, ious, overlaps, shapes

Ints = NDArray[np.int64]


@attrs.frozen(kw_only=True)
class Pairs:
    """What was found in one image, beside the text in it that counts."""

    text: Ints
    """[P], of pairs that overlap enough, in rising order."""
    found: Ints
    """[P], likewise; rising for each text."""
    same: NDArray[np.bool_]
    """[P], whether the transcriptions are the same."""
    scores: NDArray[np.float32]
    """[D] of what was found and counts."""
    texts: int

    def hits(self, least: float) -> int:
        """Count pairs, each text and each thing found once, among what scores at least ``least``."""
        counts = self.scores >= np.float32(least)
        used_text, used_found, hits = set[int](), set[int](), 0
        for text, found, same in zip(self.text.tolist(), self.found.tolist(), self.same.tolist(), strict=True):
            if counts[found] and text not in used_text and found not in used_found:
                used_text.add(text)
                used_found.add(found)
                hits += same
        return hits


class Hmean:
    """Counts hits, things found and texts for some scores; nothing else is kept.

    Args:
        iou: overlap above which a thing found may stand for a text.
        ignored: part of its area on ignored text above which a thing found does not count.
        scores: thresholds, rising.
        transcription: whether what is read counts.
        case: whether capitals count in it.
    """

    def __init__(
        self,
        *,
        iou: float = 0.5,
        ignored: float = 0.5,
        scores: Sequence[float] = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
        transcription: bool = False,
        case: bool = True,
    ) -> None:
        self._iou, self._ignored, self._scores = iou, ignored, tuple(scores)
        self._transcription, self._case = transcription, case
        self._prefix = "e2e_" if transcription else ""
        self._hits = torch.zeros(len(self._scores), dtype=torch.int64)
        self._found = self._hits.clone()
        self._texts = 0

    def update(self, predictions: Sequence[Mapping[str, Any]], targets: Sequence[Mapping[str, Any]]) -> None:
        """Take a batch: ``polygons`` and ``scores``, of targets ``polygons`` and ``ignored``; ``texts`` where they
        count."""
        for prediction, target in zip(predictions, targets, strict=True):
            pairs = self._pairs(prediction, target)
            self._texts += pairs.texts
            self._found += torch.tensor([int((pairs.scores >= np.float32(least)).sum()) for least in self._scores])
            self._hits += torch.tensor([pairs.hits(least) for least in self._scores])

    def state(self) -> dict[str, Any]:
        """Counts for each threshold."""
        return {"hits": self._hits, "found": self._found, "texts": self._texts}

    def merge(self, states: Sequence[dict[str, Any]]) -> None:
        """Add what several processes counted."""
        for state in states:
            self._hits = self._hits + state["hits"]
            self._found = self._found + state["found"]
            self._texts += int(state["texts"])

    def compute(self) -> dict[str, float | None]:
        """Return the numbers at the score with the highest harmonic mean, the lowest of equals, and that score.

        Without text there is no recall and no mean, with nothing found no precision.
        """
        means = [self._mean(place) for place in range(len(self._scores))]
        best = max(range(len(means)), key=lambda place: means[place] or 0.0)
        hits, found = int(self._hits[best]), int(self._found[best])
        values = {
            "hmean": means[best],
            "precision": hits / found if found else None,
            "recall": hits / self._texts if self._texts else None,
            "score_threshold": self._scores[best] if self._texts else None,
        }
        return {f"{self._prefix}{name}": value for name, value in values.items()}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """The harmonic mean at each score."""
        return [(f"{self._prefix}hmean from {score:g} on", self._mean(i)) for i, score in enumerate(self._scores)]

    def _mean(self, place: int) -> float | None:
        """Return 2 P R / (P + R), which is 2 hits / (found + texts)."""
        if not self._texts:
            return None
        return 2 * int(self._hits[place]) / (int(self._found[place]) + self._texts)

    def _pairs(self, prediction: Mapping[str, Any], target: Mapping[str, Any]) -> Pairs:
        found = np.asarray(prediction["polygons"], np.float64)
        scores = np.asarray(prediction["scores"], np.float32)
        kept = np.flatnonzero(scores >= np.float32(self._scores[0]))
        labelled = np.asarray(target["polygons"], np.float64)
        flags = target.get("ignored")
        ignored = np.zeros(len(labelled), np.bool_) if flags is None else np.asarray(flags, np.bool_)
        ours, theirs = shapes(found[kept]), shapes(labelled)
        if ignored.any() and len(kept):
            covered = overlaps(ours, theirs[ignored]) > self._ignored * np.abs(areas(found[kept]))[:, None]
            clear = ~covered.any(1)
            kept, ours = kept[clear], ours[clear]
        wanted = np.flatnonzero(~ignored)
        text, place = np.nonzero(ious(theirs[wanted], ours) > self._iou)
        return Pairs(
            text=text,
            found=place,
            same=self._same(prediction, target, kept[place], wanted[text]),
            scores=scores[kept],
            texts=len(wanted),
        )

    def _same(self, prediction: Mapping[str, Any], target: Mapping[str, Any], found: Ints, text: Ints) -> Any:
        if not self._transcription:
            return np.ones(len(found), np.bool_)
        read, right = prediction["texts"], target["texts"]
        pairs = [(read[d], right[g]) for d, g in zip(found.tolist(), text.tolist(), strict=True)]
        return np.array([a == b or (not self._case and a.casefold() == b.casefold()) for a, b in pairs], np.bool_)
