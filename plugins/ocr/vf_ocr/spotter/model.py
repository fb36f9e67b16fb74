"""A detector and a model that reads words as one: pages in, outlines with what is written in them out."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import torch
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.errors import DataError
from vf_ocr.geometry import smallest_quad
from vf_ocr.recognition.reader import Reader
from vf_ocr.spotter.order import reading_order
from vf_ocr.spotter.rectify import grown, rectified, side_lengths, turned

if TYPE_CHECKING:
    from vf.protocols import Prediction, Preprocess

LEAST_SIDE = 4.0
"""Labelled words of a shorter side teach nothing to read, px of what the detector sees."""


class Spotter(nn.Module):
    """Finds words, cuts them out by perspective and reads them; the pixels of both are those that the detector sees.

    In training the detector learns from pages, and the other from words that are cut out at their labels.

    Args:
        detector: gives losses in training, else ``polygons`` and ``scores``.
        recogniser: reads crops.
        read_weight: of what the recogniser minimises, beside the detector's.
        detect_part: part of the pages of a batch that the detector learns from; the recogniser learns from all.
        jitter: how far corners of labelled words are moved in training, in parts of their height.
        grow: least and most that sides of labelled words are moved outwards in training, in parts of their height:
            what is found is never cut out as exactly as what is labelled, and mostly wider.
        upright: words more than so many times as high as wide are read turned both ways too; the surest counts.
        reads_labelled: whether, where labels are at hand, labelled words are read too, as ``labelled_texts``.
    """

    def __init__(
        self,
        detector: nn.Module,
        recogniser: Reader,
        *,
        read_weight: float = 1.0,
        detect_part: float = 1.0,
        jitter: float = 0.05,
        grow: tuple[float, float] = (-0.05, 0.3),
        upright: float = 2.0,
        reads_labelled: bool = False,
    ) -> None:
        super().__init__()
        self.detector, self.recogniser = detector, recogniser
        self.read_weight, self.detect_part, self.jitter, self.grow = read_weight, detect_part, jitter, grow
        self.upright, self.reads_labelled = upright, reads_labelled

    not_exported = (
        "it is two networks, with words cut out by Python between them; export each: 'vf ocr split RUN --detector "
        "finds.safetensors --recogniser reads.safetensors'"
    )
    """See `vf.protocols.Model`."""

    @property
    def preprocess(self) -> Preprocess:
        """The detector's: pages are what comes in."""
        rules: Preprocess = self.detector.preprocess  # type: ignore[assignment]
        return rules

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Let both load what they start from."""
        for part in (self.detector, self.recogniser):
            load = getattr(part, "load_pretrained", None)
            if load is not None:
                load(tell)

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else ``polygons``, ``scores``, ``texts`` and ``text_scores`` in reading order."""
        if not self.training:
            return self._predictions(batch)
        if "texts" not in batch.targets or "polygons" not in batch.targets:
            raise DataError(
                "data: a spotter learns from pages whose words are outlined and written down: data for detection with "
                "a charset; words alone are for ocr/crnn_custom"
            )
        found: dict[str, Tensor] = self.detector(first_of(batch, self.detect_part))
        return {**found, **{f"read_{name}": self.read_weight * value for name, value in self._reading(batch).items()}}

    def _reading(self, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of reading the labelled words of the batch."""
        quads, counts, texts = self._labelled(batch)
        if not len(quads):
            nothing = torch.stack([p.sum() for p in self.recogniser.parameters()]).sum() * 0.0
            return {"none": nothing}  # every process has the same parameters to wait for
        crops, _ = self._crops(batch.images, self._moved(quads), counts)
        return self.recogniser.losses(self.recogniser.preprocess(crops, crops.new_zeros(0)), texts)

    def _moved(self, quads: Tensor) -> Tensor:
        """Return quads [N,4,2] as inexact as what is found."""
        heights = side_lengths(quads)[1][:, None]
        low, high = self.grow
        sides = heights * (low + (high - low) * torch.rand(len(quads), 4, device=quads.device))
        return grown(quads, sides) + (2 * torch.rand_like(quads) - 1) * self.jitter * heights[..., None]

    def _labelled(self, batch: Batch) -> tuple[Tensor, list[int], list[str]]:
        """Return what can be read of the labelled words: quads [N,4,2], how many on each image, texts."""
        polygons, counts = batch.targets["polygons"], batch.counts["polygons"]
        texts = [text for page in batch.targets["texts"] for text in page]
        quads = as_quads(polygons)
        ignored = batch.targets.get("ignored")
        kept = torch.tensor([bool(text) for text in texts], dtype=torch.bool, device=quads.device)
        kept &= torch.stack(side_lengths(quads)).amin(0) >= LEAST_SIDE
        if ignored is not None:
            kept &= ~ignored
        left = [int(page.sum()) for page in kept.split(list(counts))]
        return quads[kept], left, [text for text, keep in zip(texts, kept.tolist(), strict=True) if keep]

    def _crops(self, images: Tensor, quads: Tensor, counts: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Return crops [N,3,h,w] of quads [N,4,2], and the width of each in it."""
        rules = self.recogniser.preprocess
        sides = torch.stack(side_lengths(quads), 1).clamp(min=1.0).tolist()
        widths = [rules.goal((round(high), round(wide)))[1] for wide, high in sides]
        height, fill = rules.size[0], rules.pad_value
        return rectified(images, quads, counts, height=height, widths=widths, fill=fill), widths

    @torch.no_grad()
    def _predictions(self, batch: Batch) -> list[Prediction]:
        found: list[dict[str, Any]] = self.detector(batch)
        for prediction in found:
            order = reading_order(as_quads(prediction["polygons"]).numpy())
            for key in ("polygons", "scores"):
                prediction[key] = prediction[key][torch.from_numpy(order)]
        read = self.read(batch, [prediction["polygons"] for prediction in found])
        for prediction, words in zip(found, read, strict=True):
            prediction["texts"] = [text for text, _ in words]
            prediction["text_scores"] = torch.tensor([score for _, score in words])
        if self.reads_labelled and {"texts", "polygons"} <= batch.targets.keys():
            labelled = [polygons.cpu() for polygons in batch.target("polygons")]
            for prediction, words in zip(found, self.read(batch, labelled), strict=True):
                prediction["labelled_texts"] = [text for text, _ in words]
        return found

    def read(self, batch: Batch, polygons: Sequence[Tensor]) -> list[list[tuple[str, float]]]:
        """Return text and probability of each outline of each image.

        Args:
            batch: pages.
            polygons: of each image, [N,K,2] in px of the image as decoded, on the CPU.
        """
        scales = (batch.sizes / batch.original).flip(1).cpu()
        parts = [as_quads(own.float()) * scale for own, scale in zip(polygons, scales, strict=True)]
        counts = [len(part) for part in parts]
        quads = torch.cat(parts)
        image = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
        widths, heights = side_lengths(quads)
        tall = torch.nonzero(heights > self.upright * widths).flatten()
        # Tall ones come three times: as they are, and turned to either side.
        ways = torch.cat((quads, turned(quads[tall], 1), turned(quads[tall], -1)))
        whose = torch.cat((torch.arange(len(quads)), tall, tall))
        order = torch.argsort(image[whose], stable=True)
        per_image = torch.bincount(image[whose], minlength=len(counts)).tolist()
        crops, cut = self._crops(batch.images, ways[order].to(batch.images.device), per_image)
        words: list[tuple[str, float]] = [("", -1.0)] * len(quads)
        for word, place in zip(self.recogniser.read(crops, cut), whose[order].tolist(), strict=True):
            if word[1] > words[place][1]:
                words[place] = word
        ends = np.cumsum([0, *counts]).tolist()
        return [words[start:end] for start, end in itertools.pairwise(ends)]


def as_quads(polygons: Tensor) -> Tensor:
    """Return quads [N,4,2] of polygons [N,K,2]: themselves, or the smallest rectangles around them."""
    if polygons.shape[1] == 4:
        return polygons.as_subclass(Tensor).float()
    arrays = polygons.detach().cpu().as_subclass(Tensor).numpy()
    quads = [smallest_quad(polygon)[0] for polygon in arrays]
    return torch.from_numpy(np.array(quads, np.float32).reshape(-1, 4, 2)).to(polygons.device)


def first_of(batch: Batch, part: float) -> Batch:
    """Return the first pages of a batch: ``part`` of them, and at least one."""
    count = max(1, round(part * len(batch)))
    if count == len(batch):
        return batch
    rows = {key: sum(own[:count]) for key, own in batch.counts.items()}
    return attrs.evolve(
        batch,
        images=batch.images[:count],
        sizes=batch.sizes[:count],
        original=batch.original[:count],
        ids=batch.ids[:count],
        targets={key: value[: rows.get(key, count)] for key, value in batch.targets.items()},
        counts={key: own[:count] for key, own in batch.counts.items()},
    )
