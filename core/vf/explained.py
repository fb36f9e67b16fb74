"""What of an image speaks for what a model says of it: asked of the model, and laid over the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from vf.data.sample import Batch
from vf.errors import ConfigError

if TYPE_CHECKING:
    from vf.predict import Predictor

Explain = Callable[[Batch], Sequence[Tensor]]


def explainer(predictor: Predictor) -> Explain:
    """Return what gives a map [H,W] for each image of a batch on the CPU; see `vf.protocols.Model`.

    Raises:
        ConfigError: the model has no method for it.
    """
    explain: Any = getattr(predictor.model, "explain", None)
    if explain is None:
        raise ConfigError(
            f"--cam: {type(predictor.model).__name__} does not tell what of an image speaks for its answer (it has no "
            "method explain); leave --cam out"
        )
    asked: Explain = explain
    return lambda batch: asked(batch.to(predictor.device))


def laid_over(image: Tensor, heat: Tensor) -> Image.Image:
    """Tint an image uint8 [3,H,W] by a map [H,W] from 0, blue, to 1, red; more where there is more."""
    pixels = image.permute(1, 2, 0).contiguous().numpy().astype(np.float32)
    levels = (heat.clamp(0, 1) * 255).round().byte().numpy()
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_JET)[..., ::-1].astype(np.float32)
    return Image.fromarray((0.5 * pixels + 0.5 * colours).round().astype(np.uint8))
