"""What the text detectors share: image rules, backbone, neck, head; losses or outlines out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vf.data.sample import Batch
from vf.nn.backbones.backbone import Backbone
from vf_ocr.detection.kernels import grid_size
from vf_ocr.detection.sizing import TextSizing
from vf_ocr.geometry import Points

if TYPE_CHECKING:
    from vf.protocols import Prediction


@attrs.frozen
class Found:
    """Outlines in one image."""

    polygons: Points
    """[N,K,2], px of what the network saw; shorter ones repeat their last vertex."""
    scores: NDArray[np.float32]
    """[N], 0..1."""


class Reader(Protocol):
    """Makes outlines of the maps of one image; plain data."""

    def __call__(self, maps: NDArray[np.float32], /) -> Found:
        """Read float32 [C,h,w], without padding."""
        ...


class TextDetector(nn.Module):
    """A network whose maps are read as outlines.

    A subclass says what it minimises and what of its output is read.

    Args:
        preprocess: image rules.
        backbone: levels of stride 4 to 32.
        neck: joins them at the finest stride; has ``channels``.
        head: maps [B,C,h,w] of what the neck gives.
        reader: outlines of maps.
        stride: of the maps that are read, px.
    """

    preprocess: TextSizing

    def __init__(
        self,
        *,
        preprocess: TextSizing,
        backbone: Backbone,
        neck: nn.Module,
        head: nn.Module,
        reader: Reader,
        stride: int,
    ) -> None:
        super().__init__()
        self.preprocess = preprocess
        self.backbone, self.neck, self.head = backbone, neck, head
        self.reader, self.stride = reader, stride

    def load_pretrained(self, tell: Callable[[str], None]) -> None:
        """Let the backbone load what it starts from."""
        self.backbone.load_pretrained(tell)

    def output(self, images: Tensor) -> Any:
        """Run the network on preprocessed images, float [B,3,H,W]; return what the head gives."""
        return self.head(self.neck(self.backbone(images)))

    def forward(self, batch: Batch) -> dict[str, Tensor] | list[Prediction]:
        """Return losses in training, else ``polygons`` and ``scores`` of each image; see `vf.protocols.Model`."""
        done: dict[str, Tensor] | list[Prediction]
        if not self.training:
            done = self.predictions(self.raw(batch.images, batch.sizes), batch)
            return done
        images = self.preprocess(batch.images, batch.sizes)
        done = self._minimised(self.output(images), batch, (int(images.shape[-2]), int(images.shape[-1])))
        return done

    # How much there is to do depends on the text: nothing that could be traced once.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _minimised(self, output: Any, batch: Batch, size: tuple[int, int]) -> dict[str, Tensor]:
        with torch.autocast(batch.images.device.type, enabled=False):
            return self.losses(output, self.preprocess.batch_maps(batch, size))

    def raw(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Return ``maps`` float32 [B,C,h,w], what is read as outlines; see `vf.protocols.Model`."""
        return {"maps": self.readable(self.output(self.preprocess(images, sizes))).float()}

    @torch.no_grad()
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def predictions(self, raw: Mapping[str, Tensor], batch: Batch) -> list[Prediction]:
        """Read the maps of each image, in pixels as decoded."""
        maps = raw["maps"].cpu().numpy()
        pairs = zip(maps, batch.sizes.tolist(), batch.original.tolist(), strict=True)
        return [self._prediction(own, tuple(size), tuple(full)) for own, size, full in pairs]

    def _prediction(self, maps: NDArray[np.float32], size: tuple[int, int], full: tuple[int, int]) -> Prediction:
        height, width = grid_size(size, self.stride)
        found = self.reader(maps[:, :height, :width])
        scale = np.array([full[1] / size[1], full[0] / size[0]], np.float32)
        return {"polygons": torch.from_numpy(found.polygons * scale), "scores": torch.from_numpy(found.scores)}

    def losses(self, output: Any, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return scalar losses by name.

        Args:
            output: of the head.
            maps: [B,h,w] by name, to learn.
        """
        raise NotImplementedError

    def readable(self, output: Any) -> Tensor:
        """Return what the reader reads, [B,C,h,w]."""
        raise NotImplementedError
