"""A segmenter: image rules, a body that gives levels, a head that gives logits; losses or class maps out.

Legend: B images, C classes, H×W pixels of the batch, h×w cells of logits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import attrs
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import BatchNorm2d

from vf.data.follow import IGNORE
from vf.data.sample import Batch
from vf.errors import ConfigError, listed
from vf_seg.inference.rows import resized
from vf_seg.inference.segment import segment
from vf_seg.inference.tta import TTA
from vf_seg.inference.views import View
from vf_seg.losses.terms import Terms

if TYPE_CHECKING:
    from vf.protocols import Prediction

SEMANTIC = "semantic"
"""Key of a map of classes, in targets and predictions."""


@attrs.frozen(kw_only=True)
class Inference:
    """How class maps are made."""

    crop: tuple[int, int] | None = None
    """Height and width of a sliding window, px; None: the whole image at once."""
    stride: tuple[int, int] = (1, 1)
    probabilities: bool = False
    """Whether predictions have ``semantic_probabilities`` too."""


class Segmenter(nn.Module):
    """See `vf.protocols.Model`.

    Args:
        preprocess: image rules.
        backbone: normalised [B,3,H,W] -> levels [B,·,h,w], fine to coarse.
        head: levels -> logits [B,C,h,w], or several of them, the first of which counts in evaluation.
        aux: heads that are there in training alone, each with the weight of its losses.
        side_weight: of the losses of the head's further logits.
        terms: what is minimised.
        inference: how class maps are made.
        classes: C.
    """

    def __init__(
        self,
        *,
        preprocess: nn.Module,
        backbone: nn.Module,
        head: nn.Module,
        terms: Terms,
        inference: Inference,
        classes: int,
        aux: Sequence[tuple[nn.Module, float]] = (),
        side_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.preprocess, self.backbone, self.head, self.terms = preprocess, backbone, head, terms
        self.aux = nn.ModuleList(module for module, _ in aux)
        self._aux_weights = tuple(weight for _, weight in aux)
        self._side_weight, self._inference, self._classes = side_weight, inference, classes
        self.num_layers: int | None = None
        body: Any = backbone
        if hasattr(body, "num_layers"):  # what comes after the body is one layer more
            self.num_layers = int(body.num_layers) + 1

    def layer_id(self, name: str) -> int:
        """Return the number of a parameter's layer, for ``train.optimizer.layer_decay``."""
        body: Any = self.backbone
        if not name.startswith("backbone."):
            return int(self.num_layers or 0)
        return int(body.layer_id(name.removeprefix("backbone.")))

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Let the backbone load what it starts from."""
        load: Callable[[Callable[[str], None]], None] | None = getattr(self.backbone, "load_pretrained", None)
        if load is not None:
            load(tell)

    def with_tta(self, *, scales: Sequence[float] = (1.0,), flip: bool = True, **options: object) -> TTA:
        """Return a model that averages the probabilities of several views; see :class:`TTA`.

        Raises:
            ConfigError: an option, of which there is none, or wrong scales.
        """
        if options:
            raise ConfigError(
                f"tta: {listed(options)}: no option of segmenters, which average probabilities; leave it out"
            )
        return TTA(self, scales, mirrored=flip)

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else one prediction for each image."""
        return self._losses(batch) if self.training else self.predictions(batch)

    def logits(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return logits of normalised images [B,3,H,W], each float32 [B,C,h,w]; in training of aux too."""
        levels = self.backbone(images)
        out = self.head(levels)
        every = out if isinstance(out, tuple) else (out,)
        if self.training:
            every = (*every, *(head(levels) for head in self.aux))
        return tuple(logits.float() for logits in every)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        self._refuse_single(batch)
        images = self.preprocess(batch.images, batch.sizes)
        every = self.logits(images)
        with torch.autocast(images.device.type, enabled=False):
            return self._summed(every, self._target(batch, (images.shape[-2], images.shape[-1])))

    def _summed(self, every: Sequence[Tensor], target: Tensor) -> dict[str, Tensor]:
        sides = len(every) - 1 - len(self.aux)
        weights = [1.0, *[self._side_weight] * sides, *self._aux_weights]
        losses: dict[str, Tensor] = {}
        for number, (logits, weight) in enumerate(zip(every, weights, strict=True)):
            full = logits
            if logits.shape[-2:] != target.shape[-2:]:
                full = F.interpolate(logits, size=target.shape[-2:], mode="bilinear")
            prefix = f"aux{'' if len(every) == 2 else number}_" if number else ""
            losses |= {f"{prefix}{name}": value for name, value in self.terms(full, target, weight=weight).items()}
        return losses

    @staticmethod
    def _target(batch: Batch, size: tuple[int, int]) -> Tensor:
        """Return the classes of the pixels that the network saw, int64 [B,H,W]; 255 in the padding."""
        maps = batch.targets[SEMANTIC]
        maps = maps.view(len(batch), -1, maps.shape[-1])
        padding = (0, size[1] - maps.shape[-1], 0, size[0] - maps.shape[-2])
        return F.pad(maps, padding, value=IGNORE).long() if any(padding) else maps.long()

    def _refuse_single(self, batch: Batch) -> None:
        if len(batch) > 1:
            return
        for name, module in self.named_modules():
            if getattr(module, "pools_to_one", False):
                norms = (norm for norm in module.modules() if type(norm) is BatchNorm2d and norm.training)
                if any(norms):
                    raise ConfigError(
                        f"train.batch_size: {name} pools each image to one value, and batch norm cannot train on a "
                        "single one; give each pass at least 2 images (batch_size / accumulate / processes), or set "
                        "model.norm: gn"
                    )

    # How many windows there are depends on the image: nothing that could be traced once.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    @torch.no_grad()
    def predictions(self, batch: Batch, views: Sequence[tuple[float, bool]] = ((1.0, False),)) -> list[Prediction]:
        """Return one prediction for each image; what is said of an image does not depend on the others.

        Args:
            batch: images as ``preprocess`` fitted them.
            views: factors on their sizes, and whether to see them mirrored.
        """
        found: list[Prediction] = [{} for _ in range(len(batch))]
        for places, size, original in _alike(batch):
            images = batch.images[places, :, : size[0], : size[1]]
            seen = [self._view(images, factor, mirrored=mirrored) for factor, mirrored in views]
            classes, probabilities = self._classes, self._inference.probabilities
            for place, own in zip(
                places, segment(seen, original, classes=classes, probabilities=probabilities), strict=True
            ):
                found[place] = own
        return found

    def _view(self, images: Tensor, factor: float, *, mirrored: bool) -> View:
        if factor != 1:
            size = (max(1, round(images.shape[-2] * factor)), max(1, round(images.shape[-1] * factor)))
            images = resized(images, size)
        inference = self._inference
        return View(self._logits_of_part, images, crop=inference.crop, stride=inference.stride, mirrored=mirrored)

    def _logits_of_part(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        sizes = torch.tensor(images.shape[-2:], device=images.device).expand(len(images), 2)
        rules: Any = self.preprocess
        return self.raw(images, sizes)["logits"], rules.goal(images.shape[-2], images.shape[-1])

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``logits`` float32 [B,C,h,w] of the padded images; see `vf.protocols.Model`."""
        return {"logits": self.logits(self.preprocess(images, sizes))[0]}


def _alike(batch: Batch) -> Iterator[tuple[list[int], tuple[int, int], tuple[int, int]]]:
    """Yield the places of images that have one size and one decoded size, and these."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    rows = torch.cat([batch.sizes, batch.original], 1).tolist()
    for place, row in enumerate(rows):
        groups[tuple(row)].append(place)
    for (height, width, *original), places in groups.items():
        yield places, (height, width), (original[0], original[1])
