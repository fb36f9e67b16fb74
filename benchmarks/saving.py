"""What a checkpoint costs the step: copied and written by a thread, against written before the next step.

    python benchmarks/saving.py [--rounds 8]

A YOLOX-m with SGD and EMA: some 300 MB a checkpoint. In turn, in one run: ``saver.save`` alone (what a step pays), the
same and waiting until it is on the disk, and a plain ``torch.save`` of the same tensors, without fsync or hash.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import attrs
import torch

from vf.console import Console
from vf.engine.build import Training, build_training
from vf.engine.snapshot import model_state, snapshot, trainer_state
from vf.engine.train import train
from vf.recipes import resolve

OVERRIDES = (
    "model.size=[64, 64]",
    "model.depth=0.67",
    "model.width=0.75",
    "train.optimizer={name: sgd, lr: 0.001, momentum: 0.9}",
    "train.length=2 steps",
    "train.batch_size=2",
    "train.save_every=0 steps",
    "data.size=64",
    "loader.workers=0",
)


def make(folder: Path) -> Training:
    """Build a detector and train it for two steps, so that its optimizer has a state."""
    training = build_training(resolve("det/quickstart", overrides=OVERRIDES), folder, Console(StringIO()), limit_eval=1)
    train(training)
    return training


def seconds(work: Callable[[], object]) -> float:
    """Measure."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        trained, folder = make(Path(name)), Path(name)
        fresh = build_training(trained.state.resolved, folder, Console(StringIO()), steps=10_000)
        again = attrs.evolve(trained, saver=fresh.saver)  # its writer has not been closed
        state, saver = again.state, again.saver
        times: dict[str, list[float]] = {"async": [], "sync": [], "torch.save": []}
        for turn in range(rounds + 1):
            state.step += 1
            copied = seconds(lambda: saver.save(state))
            saver.settle(final=True)
            state.step += 1
            written = seconds(lambda: (saver.save(state), saver.settle(final=True)))
            tree = snapshot({"model": model_state(state.eval_model), **trainer_state(state, again.callbacks)})
            plain = seconds(lambda: torch.save(tree, folder / "plain.pt"))  # noqa: B023
            if turn:  # the first one warms up
                for kind, value in zip(times, (copied, written, plain), strict=True):
                    times[kind].append(value)
        size = sum(f.stat().st_size for f in (folder / "checkpoints/last").resolve().iterdir()) / 1e6
    print(f"checkpoint of {size:.0f} MB, median of {rounds}, torch {torch.__version__}")
    for kind, values in times.items():
        low, high = min(values) * 1e3, max(values) * 1e3
        print(f"{kind:11} {statistics.median(values) * 1e3:6.0f} ms  (min {low:.0f}, max {high:.0f})")
    print(f"async/sync {statistics.median(times['async']) / statistics.median(times['sync']):.3f}")


if __name__ == "__main__":
    main()
