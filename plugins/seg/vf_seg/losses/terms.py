"""A weighted sum of losses."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


class Terms(nn.Module):
    """Gives each term by its name, times its weight.

    Args:
        terms: name -> loss of (logits, target), and its weight.
    """

    def __init__(self, terms: Mapping[str, tuple[nn.Module, float]]) -> None:
        super().__init__()
        self.terms = nn.ModuleDict({name: term for name, (term, _) in terms.items()})
        self._weights = {name: weight for name, (_, weight) in terms.items()}

    def forward(self, logits: Tensor, target: Tensor, *, weight: float = 1.0) -> dict[str, Tensor]:
        """Return name -> scalar.

        Args:
            logits: float32 [B,C,H,W].
            target: int64 [B,H,W], 255 where nobody knows.
            weight: of all of them.
        """
        return {name: weight * self._weights[name] * term(logits, target) for name, term in self.terms.items()}
