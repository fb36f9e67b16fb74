"""What a run writes down: log.jsonl, TensorBoard, and the line beside the progress bar."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vf.console import Console, duration
from vf.engine.callbacks import Callback
from vf.engine.growing import Events, Growing, line
from vf.engine.ranks import Ranks
from vf.engine.state import State
from vf.runs import ENVIRONMENT, LOG
from vf.surroundings import surroundings


class Meter:
    """Means over the steps since the last reading; nothing leaves the device until it is read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._steps, self._timed = 0, 0
        self._waited = 0.0
        self._since = time.perf_counter()

    def add(self, losses: dict[str, Tensor], waited: float) -> None:
        """Take one step."""
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._steps += 1
        self._timed += 1
        self._waited += waited

    def read(self, batch_size: int, ranks: Ranks) -> dict[str, float]:
        """Return means over steps and processes, images/s and the share of time spent waiting; then start afresh."""
        elapsed = time.perf_counter() - self._since
        names = list(self._sums)
        values = self._means(ranks).tolist() if names else []
        out = dict(zip(names, values, strict=True))
        out["images_per_s"] = self._timed * batch_size / elapsed
        out["data_wait"] = self._waited / elapsed
        out["step_s"] = elapsed / max(1, self._timed)
        self.restart()
        return out

    def _means(self, ranks: Ranks) -> Tensor:
        return ranks.mean(torch.stack([value.float() for value in self._sums.values()]).div(max(1, self._steps)))

    def state_dict(self, ranks: Ranks) -> dict[str, Any]:
        """What was summed up since the last reading."""
        sums = self._means(ranks) * max(1, self._steps) if ranks.many and self._sums else None
        values = list(self._sums.values()) if sums is None else list(sums)
        return {"steps": self._steps, "sums": dict(zip(self._sums, values, strict=True))}

    def load_state_dict(self, saved: dict[str, Any], device: torch.device) -> None:
        """Go on summing."""
        self._steps = saved["steps"]
        self._sums = {name: value.to(device) for name, value in saved["sums"].items()}

    def restart(self) -> None:
        """Forget everything, and begin to count now."""
        self._sums, self._steps = {}, 0
        self.begin()

    def begin(self) -> None:
        """Count time from now on; sums of a resumed run stay."""
        self._waited, self._timed = 0.0, 0
        self._since = time.perf_counter()


class Log(Callback):
    """Writes a record every ``train.log_every`` steps and one for each evaluation; a full disk does not end a run."""

    name = "log"

    def __init__(self, console: Console) -> None:
        self._console = console
        self._meter = Meter()
        self._lines: Growing | None = None
        self._events: Events | None = None

    def on_start(self, state: State) -> None:
        """Open the files; a resumed run forgets what was logged after its checkpoint."""
        if state.ranks.world.first:
            Growing(state.folder / ENVIRONMENT).add(
                line({**surroundings(state.precision.device, state.ranks.world), "step": state.step})
            )
            keep_until(state.folder / LOG, state.step, evaluated=not state.owes_evaluation)
            self._lines = Growing(state.folder / LOG)
            self._events = Events(state.folder, purge_from=state.step + 1 if state.step else None)
        self._bar = self._console.bar("train", state.total_steps, start=state.step)
        self._meter.begin()

    def after_step(self, state: State) -> None:
        """Count; write at each interval, and at the last step."""
        train = state.resolved.recipe.train
        self._meter.add(state.losses, state.data_wait)
        text = None
        if state.step % train.log_every == 0 or state.step == state.total_steps:
            text = self._record(state, train.batch_size)
        self._bar.update(state.step, text)

    def _record(self, state: State, batch_size: int) -> str:
        means = self._meter.read(batch_size, state.ranks)
        rates = {key: means.pop(key) for key in ("images_per_s", "data_wait", "step_s")}
        total = sum(v for k, v in means.items() if not k.startswith("_"))
        record = {"loss": total, **{k.lstrip("_"): v for k, v in means.items()}, "lr": state.lr}
        if state.grad_norm is not None:
            record["grad_norm"] = float(state.grad_norm)
        eta = rates.pop("step_s") * (state.total_steps - state.step)
        self._write(state, "train", {**record, **rates})
        return (
            f"epoch {state.epoch:.1f}  loss {total:.3f}  lr {state.lr:.2e}  {rates['images_per_s']:.0f} images/s  "
            f"wait {rates['data_wait']:.0%}  eta {duration(eta)}"
        )

    def after_evaluate(self, state: State) -> None:
        """Write the metrics."""
        self._write(state, "val", state.metrics)
        self._meter.begin()

    def on_end(self, state: State) -> None:
        """Close the files."""
        self._bar.close()
        if self._lines is not None and self._lines.lost:
            self._console.say(f"warning: {state.folder / LOG}: the last {self._lines.lost} lines could not be written")

    def state_dict(self, state: State) -> dict[str, Any]:
        """The sums of a mean that is not written yet."""
        return self._meter.state_dict(state.ranks)

    def load_state_dict(self, state: State, saved: dict[str, Any]) -> None:
        """Go on with the mean."""
        self._meter.load_state_dict(saved, state.precision.device)

    def _write(self, state: State, kind: str, values: Mapping[str, float | None]) -> None:
        if self._lines is None or self._events is None:
            return
        was_full = bool(self._lines.said or self._events.file.said)
        when = round(time.time(), 3)
        self._lines.add(
            line({"kind": kind, "step": state.step, "epoch": round(state.epoch, 4), **values, "time": when})
        )
        self._events.add({f"{kind}/{key}": value for key, value in values.items() if value is not None}, state.step)
        for file in (self._lines, self._events.file):
            if file.said and not was_full:
                self._console.say(f"warning: {file.path}: {file.said}; what is logged waits until there is room")
                return


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the records of a run, oldest first; a last line that was cut off is left out."""
    path = folder / LOG
    if not path.is_file():
        return []
    records = []
    for text in path.read_text(encoding="utf-8").split("\n"):
        if text.endswith("}"):
            records.append(json.loads(text))
    return records


def keep_until(path: Path, step: int, *, evaluated: bool) -> None:
    """Cut off what was written after ``step``, where a run goes on from it; ``evaluated``: its evaluation stays."""
    if not path.is_file():
        return
    with path.open("r+b") as file:
        kept = 0
        for text in file:
            if not _is_until(text, step, evaluated=evaluated):
                break
            kept += len(text)
        file.truncate(kept)  # needs no room on a disk that may be full


def _is_until(text: bytes, step: int, *, evaluated: bool) -> bool:
    """Tell a whole line of a step from one of what comes later, and from what a process left that was killed."""
    try:
        record = json.loads(text)
        return text.endswith(b"\n") and bool((record["step"], record.get("kind") == "val") <= (step, evaluated))
    except (ValueError, KeyError, TypeError):
        return False
