"""What a run writes down: log.jsonl, TensorBoard, and the line beside the progress bar."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vf.console import Console, duration
from vf.engine.callbacks import Callback
from vf.engine.state import State
from vf.runs import LOG

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Meter:
    """Means over the steps since the last reading; nothing leaves the device until it is read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._waited = 0.0
        self._since = time.perf_counter()

    def add(self, losses: dict[str, Tensor], waited: float) -> None:
        """Take one step."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._steps += 1
        self._waited += waited

    def read(self, batch_size: int) -> dict[str, float]:
        """Return means, images/s and the share of time spent waiting for data; then start afresh."""
        elapsed = time.perf_counter() - self._since
        names = list(self._sums)
        values = torch.stack([self._sums[n].float() for n in names]).div(max(1, self._steps)).tolist() if names else []
        out = dict(zip(names, values, strict=True))
        out["images_per_s"] = self._steps * batch_size / elapsed
        out["data_wait"] = self._waited / elapsed
        out["step_s"] = elapsed / max(1, self._steps)
        self.restart()
        return out

    def restart(self) -> None:
        """Forget everything, and begin to count now."""
        self._sums, self._steps, self._waited = {}, 0, 0.0
        self._since = time.perf_counter()


class Log(Callback):
    """Writes a record every ``train.log_every`` steps and one for each evaluation."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._meter = Meter()

    def on_start(self, state: State) -> None:
        """Open the files; a resumed run forgets what was logged after its checkpoint."""
        from torch.utils.tensorboard import SummaryWriter

        _keep_until(state.folder / LOG, state.step)
        self._file = (state.folder / LOG).open("a", encoding="utf-8")
        purge = state.step + 1 if state.step else None
        self._board: SummaryWriter = SummaryWriter(str(state.folder), purge_step=purge)
        self._bar = self._console.bar("train", state.total_steps, start=state.step)
        self._meter.restart()

    def after_step(self, state: State) -> None:
        """Count; write at each interval, and at the last step."""
        train = state.resolved.recipe.train
        self._meter.add(state.losses, state.data_wait)
        text = None
        if state.step % train.log_every == 0 or state.step == state.total_steps:
            text = self._record(state, train.batch_size)
        self._bar.update(state.step, text)

    def _record(self, state: State, batch_size: int) -> str:
        means = self._meter.read(batch_size)
        rates = {key: means.pop(key) for key in ("images_per_s", "data_wait", "step_s")}
        total = sum(v for k, v in means.items() if not k.startswith("_"))
        record = {"loss": total, **{k.lstrip("_"): v for k, v in means.items()}, "lr": state.lr}
        if state.grad_norm is not None:
            record["grad_norm"] = float(state.grad_norm)
        eta = rates.pop("step_s") * (state.total_steps - state.step)
        self._write(state, {"kind": "train", "step": state.step, "epoch": round(state.epoch, 4), **record, **rates})
        for key, value in {**record, **rates}.items():
            self._board.add_scalar(f"train/{key}", value, state.step)
        return (
            f"epoch {state.epoch:.1f}  loss {total:.3f}  lr {state.lr:.2e}  {rates['images_per_s']:.0f} images/s  "
            f"wait {rates['data_wait']:.0%}  eta {duration(eta)}"
        )

    def after_evaluate(self, state: State) -> None:
        """Write the metrics."""
        self._write(state, {"kind": "val", "step": state.step, "epoch": round(state.epoch, 4), **state.metrics})
        for key, value in state.metrics.items():
            if value is not None:
                self._board.add_scalar(f"val/{key}", value, state.step)
        self._meter.restart()

    def on_end(self, state: State) -> None:
        """Close the files."""
        self._bar.close()
        self._file.close()
        self._board.close()

    def _write(self, state: State, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run, oldest first; a last line that was cut off is left out."""
    path = folder / LOG
    if not path.is_file():
        return []
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.endswith("}"):
            records.append(json.loads(line))
    return records


def _keep_until(path: Path, step: int) -> None:
    if not path.is_file():
        return
    kept = [record for record in read_log(path.parent) if record["step"] <= step]
    fresh = path.with_suffix(".new")
    fresh.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")
    os.replace(fresh, path)
