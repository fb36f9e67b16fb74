"""A plugin for tests of what is done with predictions: a model that says the same of every image, without looking."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

import vf
from vf.data.sample import Batch
from vf.nn.preprocess import Letterbox
from vf_det.masks import Masks

VF_API = 1


class Echo(nn.Module):
    """Two objects on each image: the left half, quite sure, and its upper quarter, less so. Images are H×W px."""

    def __init__(self, gives: tuple[str, ...]) -> None:
        super().__init__()
        self.preprocess = Letterbox(size=(32, 32))
        self.weight = nn.Parameter(torch.zeros(1))
        self.gives = gives

    def forward(self, batch: Batch) -> list[dict[str, Any]]:
        """Predict."""
        return [self.predict(int(height), int(width)) for height, width in batch.original]

    def predict(self, height: int, width: int) -> dict[str, Any]:
        """Say the same of an image of any size."""
        boxes = torch.tensor([[0, 0, width / 2, height], [0.1, 0, width / 2, height / 4]])
        found: dict[str, Any] = {"boxes": boxes, "scores": torch.tensor([0.9, 0.2]), "labels": torch.tensor([0, 1])}
        dense = torch.zeros(2, height, width, dtype=torch.bool)
        dense[0, :, : width // 2] = dense[1, : height // 4, : width // 2] = True
        if "masks" in self.gives:
            found["masks"] = Masks.from_dense(dense)
        if "proposals" in self.gives:
            found |= {"proposals": boxes[:1], "proposal_scores": torch.tensor([0.5])}
        if "keypoints" in self.gives:
            found["keypoints"] = boxes.reshape(2, 2, 2)
        if "panoptic" in self.gives:
            found["panoptic"] = np.where(dense[0].numpy(), 70000, 5).astype(np.int32)
            found["segments"] = [
                {"id": 70000, "category": 1, "isthing": True, "score": 0.9},
                {"id": 5, "category": 2, "isthing": False, "score": 1.0},
            ]
        return found


@vf.config
class EchoConfig:
    """Says the same of every image."""

    gives: tuple[str, ...] = vf.field(default=(), help="beside boxes: masks, proposals, keypoints, panoptic")

    def build(self, info: vf.DatasetInfo) -> nn.Module:
        """Build it."""
        return Echo(self.gives)


@vf.hookimpl
def vf_models() -> Mapping[str, Any]:
    """One."""
    return {"echo": EchoConfig}
