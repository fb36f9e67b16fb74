"""LAMB (You et al., arXiv 1904.00962), which torch does not have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LAMB(Optimizer):
    """Adam whose step in each tensor is as long, relative to its learning rate, as the tensor itself.

    Tensors without weight decay, which norms and biases are, take Adam's own step, as in the paper's code.

    Args:
        params: parameters or groups of them.
        lr: learning rate.
        betas: of the two moments.
        eps: added to the denominator.
        weight_decay: added to the step before its length is taken.
        foreach: whether all tensors of a group take each operation together.
    """

    def __init__(
        self,
        params: Iterable[Any],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        foreach: bool = True,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach}
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step along the gradients."""
        for group in self.param_groups:
            with_grad = [p for p in group["params"] if p.grad is not None]
            for parameters in [with_grad] if group["foreach"] else [[p] for p in with_grad]:
                if parameters:
                    self._step(parameters, group)

    def _step(self, parameters: Sequence[Tensor], group: dict[str, Any]) -> None:
        states = [self._state_of(p) for p in parameters]
        grads = [p.grad for p in parameters if p.grad is not None]
        means, squares = ([state[key] for state in states] for key in ("exp_avg", "exp_avg_sq"))
        first, second = group["betas"]
        for state in states:
            state["step"] += 1
        counts = [int(state["step"]) for state in states]
        torch._foreach_lerp_(means, grads, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, grads, grads, value=1 - second)
        roots = torch._foreach_div(squares, [1 - second**count for count in counts])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, group["eps"])
        moves = torch._foreach_div(means, [1 - first**count for count in counts])
        torch._foreach_div_(moves, roots)
        if group["weight_decay"]:
            torch._foreach_add_(moves, list(parameters), alpha=group["weight_decay"])
            torch._foreach_mul_(moves, _trust(parameters, moves))
        torch._foreach_add_(list(parameters), moves, alpha=-group["lr"])

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
            state["exp_avg_sq"] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
        return state


def _trust(parameters: Sequence[Tensor], moves: Sequence[Tensor]) -> list[Tensor]:
    """Return the length of each tensor by that of its move; 1 where one of them is 0."""
    own = torch.stack(torch._foreach_norm(list(parameters)))
    far = torch.stack(torch._foreach_norm(list(moves)))
    return list(torch.where((own > 0) & (far > 0), own / far, 1.0).unbind())
