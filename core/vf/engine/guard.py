"""Stops a run at a loss that is not finite, before it reaches a checkpoint."""

from __future__ import annotations

import contextlib
import json
import math

from torch import Tensor

from vf.engine.growing import finite
from vf.engine.state import State
from vf.errors import RunError, listed


class Guard:
    """Looks at every loss; on a GPU one pass later, so that the processor need not wait for it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._late = state.precision.device.type == "cuda"
        self._waiting: tuple[int, Tensor, dict[str, Tensor], tuple[str, ...]] | None = None

    def check(self, total: Tensor, losses: dict[str, Tensor]) -> None:
        """Take the losses of a pass; RunError for this pass or, on a GPU, the one before."""
        state = self._state
        ids = state.batch.ids if state.batch is not None else ()
        new = (state.step + 1, total.detach(), {k: v.detach() for k, v in losses.items()}, ids)
        look_at, self._waiting = (self._waiting, new) if self._late else (new, None)
        if look_at is not None and not math.isfinite(look_at[1].item()):
            self._refuse(*look_at)

    def _refuse(self, step: int, total: Tensor, losses: dict[str, Tensor], ids: tuple[str, ...]) -> None:
        state = self._state
        terms = {name: value.item() for name, value in losses.items()}
        shown_terms = {name: finite(value) for name, value in terms.items()}
        report = {
            "step": step,
            "losses": shown_terms,
            "lr": state.lr,
            "images": list(ids),
            "rank": state.ranks.world.rank,
        }
        path = state.folder / "nan_report.json"
        with contextlib.suppress(OSError):  # a full disk must not hide why the run ends
            path.write_text(json.dumps(report, indent=1), encoding="utf-8")
        shown = ", ".join(f"{name} {value:g}" for name, value in terms.items())
        raise RunError(
            f"step {step}: the loss is not finite ({shown}) at lr {state.lr:g}, images {listed(ids, limit=3)}; "
            f"lower train.optimizer.lr or set train.clip_grad; see {path}"
        )
