"""A second set of weights beside those in training, for callbacks that average."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from vf.engine.state import State


class Average:
    """A copy of a model, in evaluation mode, that is moved towards the model's weights."""

    def __init__(self, model: nn.Module) -> None:
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        source = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        target = {**dict(self.module.named_parameters()), **dict(self.module.named_buffers())}
        pairs = [(target[name], tensor.detach()) for name, tensor in source.items()]
        self._pairs = [p for p in pairs if p[0].is_floating_point()]
        self._copies = [p for p in pairs if not p[0].is_floating_point()]

    @torch.no_grad()
    def move(self, share: float) -> None:
        """Go ``share`` (0..1) of the way to the weights, those of norms' statistics included; copy whole numbers."""
        torch._foreach_lerp_([a for a, _ in self._pairs], [w for _, w in self._pairs], share)
        if self._copies:
            torch._foreach_copy_([a for a, _ in self._copies], [w for _, w in self._copies])

    def state_dict(self, state: State) -> dict[str, Any]:
        """The weights in training: the averaged ones are the checkpoint's model."""
        return {"weights": {n: t.detach().clone() for n, t in state.model.state_dict().items()}}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """What the checkpoint's model.safetensors held is the average; put the training weights back."""
        self.module.load_state_dict(state.model.state_dict())
        state.model.load_state_dict(saved["weights"])
