"""Hold a part of the weights still, for a while or for the whole training."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from vf.engine.callbacks import Callback
from vf.engine.optim import NORMS
from vf.engine.state import State
from vf.errors import ConfigError, listed
from vf.schema import Duration


class Freeze(Callback):
    """Parameters whose name matches ``pattern`` get no gradient, so that nothing moves them, weight decay neither.

    Norms whose parameters all match use their running statistics and leave them alone. What is frozen already (by
    its model, a rule of the optimizer or a freeze before) stays with who froze it.

    Args:
        pattern: shell pattern on parameter names, like ``backbone.*``; ``*`` goes across dots.
        until: length from the start of the training; None: the whole training.
    """

    def __init__(self, *, pattern: str, until: Duration | None) -> None:
        self.name = f"freeze {pattern}"  # a recipe may have several, which keep their states apart
        self._pattern = pattern
        self._until = until
        self._frozen = False

    def on_build(self, state: State) -> None:
        """Find the parameters and freeze them; ConfigError where there are none, or nothing else."""
        trained = {n: p for n, p in state.model.named_parameters() if p.requires_grad}
        self._parameters = {n: p for n, p in trained.items() if fnmatchcase(n, self._pattern)}
        if not self._parameters:
            parts = dict.fromkeys(name.partition(".")[0] for name in trained)
            raise ConfigError(
                f"callbacks: freeze.pattern: {self._pattern!r} matches no parameter that trains; "
                f"their names begin with {listed(parts)}"
            )
        if len(self._parameters) == len(trained):
            raise ConfigError(f"callbacks: freeze.pattern: {self._pattern!r} matches every parameter; none would train")
        if self._until is not None and state.ranks.many:
            # Gradients of what is frozen when the processes join are never exchanged.
            raise ConfigError(
                "callbacks: freeze.until: needs one process; leave it out to freeze for the whole training"
            )
        self._norms = [m for name, m in state.model.named_modules() if isinstance(m, NORMS) and self._holds(name, m)]
        self._set(frozen=True)

    def _holds(self, name: str, norm: nn.Module) -> bool:
        own = [f"{name}.{n}" for n, _ in norm.named_parameters(recurse=False)]
        if own:
            return all(n in self._parameters for n in own)
        return any(fnmatchcase(f"{name}.{n}", self._pattern) for n, _ in norm.named_buffers(recurse=False))

    def _set(self, *, frozen: bool) -> None:
        self._frozen = frozen
        for parameter in self._parameters.values():
            parameter.requires_grad_(not frozen)
        for norm in self._norms:
            norm.train(not frozen)

    def _over(self, state: State) -> bool:
        return self._until is not None and state.step >= self._until.steps(state.steps_per_epoch)

    def on_start(self, state: State) -> None:
        """Freeze or not, by the step; the loop has put every norm into training mode."""
        self._set(frozen=not self._over(state))

    def after_step(self, state: State) -> None:
        """Let go, where it is time."""
        if self._frozen and self._over(state):
            self._set(frozen=False)

    def after_evaluate(self, state: State) -> None:
        """Put the norms back into evaluation mode, which an evaluation of the weights in training has ended."""
        if self._frozen:
            for norm in self._norms:
                norm.eval()

    def state_dict(self, state: State) -> dict[str, Any]:
        """Names of those that the optimizer has moved."""
        return {"moved": [n for n, p in self._parameters.items() if p in state.optimizer.state]}

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """Let the optimizer's state come back for those that it had moved, and expect none for the others."""
        for name, parameter in self._parameters.items():
            parameter.requires_grad_(name in saved["moved"])
