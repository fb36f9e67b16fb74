"""Grad-CAM (arXiv 1610.02391): which parts of an image speak for a class.

The map is taken from the last features that lie on the image and of which the score depends at every place: in a CNN
those before the pooling, in a ViT those that the last attention eats (after it, the score depends on one token alone).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vf.engine.optim import NORMS
from vf.errors import ConfigError

if TYPE_CHECKING:
    from vf_cls.models.classifier import Classifier

KEPT = 64
"""Outputs of the last modules that are looked at; the map is far up, and each holds memory."""


@torch.enable_grad()
def grad_cam(model: Classifier, images: Tensor) -> Tensor:
    """Return [B,H,W] from 0 to 1, on the CPU, for the first class of each normalised image [B,3,H,W].

    Raises:
        ConfigError: the net has no features that lie on the image.
    """
    size = (images.shape[2], images.shape[3])
    kept: deque[Tensor] = deque(maxlen=KEPT)

    def keep(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.requires_grad and _lies_on(output, size, module):
            kept.append(output)

    handles = [module.register_forward_hook(keep) for module in model.net.modules()]
    try:
        output = model.net(images.detach().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    logits = output if isinstance(output, Tensor) else output[0]
    score = logits.float().max(1).values.sum()
    grads = torch.autograd.grad(score, list(kept), allow_unused=True) if kept else ()
    for features, grad in reversed(list(zip(kept, grads, strict=True))):
        if grad is None:
            continue
        features, grad = (_as_map(tensor.detach().float(), size) for tensor in (features, grad))
        if (grad.abs().amax(1) > 0).any(0).all():
            return _weighed(features, grad, size).cpu()
    if not kept:
        raise ConfigError(f"--cam: {type(model.net).__name__} has no features that lie on the image")
    return images.new_zeros(len(images), *size, device="cpu")  # nothing speaks for anything: a head that is new


def _weighed(features: Tensor, grad: Tensor, size: tuple[int, int]) -> Tensor:
    heat = (grad.mean((2, 3), keepdim=True) * features).sum(1, keepdim=True).relu()
    heat = F.interpolate(heat, size, mode="bilinear", align_corners=False)[:, 0]
    largest = heat.amax((1, 2), keepdim=True)
    return torch.where(largest > 0, heat / largest, 0.0)


def _lies_on(output: Tensor, size: tuple[int, int], module: nn.Module) -> bool:
    """Whether these are features on the image: maps of its ratio, or tokens after a norm."""
    if output.ndim == 4:
        return _channels_first(output, size) is not None
    return output.ndim == 3 and isinstance(module, NORMS) and _grid(output.shape[1], size) is not None


def _channels_first(output: Tensor, size: tuple[int, int]) -> bool | None:
    """Whether a map is [B,C,H,W] and not [B,H,W,C]; None: it is neither."""
    for dims, first in (((2, 3), True), ((1, 2), False)):
        cells = (output.shape[dims[0]], output.shape[dims[1]])
        if max(cells) > 1 and all(side > 1 for side in cells) and _same_ratio(cells, size):
            return first
    return None


def _same_ratio(cells: tuple[int, int], size: tuple[int, int]) -> bool:
    """Whether so many cells have one stride on both sides, up to rounding."""
    stride = size[0] / cells[0]
    return stride >= 1 and abs(size[1] / stride - cells[1]) < 1


def _grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Return rows and columns of patches, before which there may be a few other tokens."""
    for extra in range(9):
        rows = round(((tokens - extra) * size[0] / size[1]) ** 0.5) if tokens > extra else 0
        if rows > 1 and (tokens - extra) % rows == 0:
            cells = (rows, (tokens - extra) // rows)
            if cells[1] > 1 and _same_ratio(cells, size):
                return cells
    return None


def _as_map(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring features into [B,C,H,W]."""
    if tensor.ndim == 4:
        return tensor if _channels_first(tensor, size) else tensor.permute(0, 3, 1, 2)
    cells = _grid(tensor.shape[1], size)
    assert cells is not None
    patches = tensor[:, -cells[0] * cells[1] :].transpose(1, 2)
    return patches.reshape(*patches.shape[:2], *cells)
