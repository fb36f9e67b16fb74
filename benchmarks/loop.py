"""What the engine costs over a bare torch loop: the same model, the same tensors, in turn, in one run.

    python benchmarks/loop.py [--rounds 16] [--steps 60] [--image 160] [--batch 16]

Prints the mean step of both and the ratio of all steps together. In the engine everything is on that a long run has:
logging to log.jsonl and TensorBoard every 10 steps, an EMA of the weights, a checkpoint of it all every 50 steps (some
seven seconds), the check for losses that are not finite, the watchdog, the clipping of gradients. The bare loop clips,
and has nothing else of it.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import attrs
import torch

from vf.console import Console
from vf.data.sample import Batch
from vf.engine.build import Training, build_training
from vf.engine.callbacks import Callback
from vf.engine.state import State
from vf.engine.train import train
from vf.recipes import resolve


class Stopwatch(Callback):
    """Notes when each step is over."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def step_done(self, state: State) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def make(steps: int, image: int, batch: int, folder: Path) -> Training:
    """Build the quickstart detector with the engine."""
    overrides = (
        f"model.size=[{image}, {image}]",
        f"train.length={steps} steps",
        f"train.batch_size={batch}",
        "train.eval_every=0 steps",
        "train.save_every=50 steps",
        "train.log_every=10",
        "train.clip_grad=10.0",
        "loader.workers=0",
    )
    return build_training(resolve("det/quickstart", overrides=overrides), folder, Console(StringIO()), limit_eval=1)


def bare(training: Training, batches: list[Batch], steps: int) -> list[float]:
    """Train with the loop that a user would write, and return the seconds of each step."""
    state = training.state
    model, optimizer, device = state.model.train(), state.optimizer, state.precision.device
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    times = [time.perf_counter()]
    for batch in itertools.islice(itertools.cycle(batches), steps):
        optimizer.zero_grad(set_to_none=True)
        with state.precision.autocast():
            losses = model(batch.to(device))
        loss = sum(value for name, value in losses.items() if not name.startswith("_"))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter())
    return [b - a for a, b in itertools.pairwise(times)]


def engine(training: Training, batches: list[Batch]) -> list[float]:
    """Train with the engine on the same batches, and return the seconds of each step but the first."""

    class Same:
        def __iter__(self) -> Iterator[Batch]:
            return itertools.cycle(batches)

    watch = Stopwatch()
    changed = attrs.evolve(training, batches=lambda **_: Same(), callbacks=(watch, *training.callbacks))
    train(changed)
    return [b - a for a, b in itertools.pairwise(watch.times[:-1])]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for name, default in (("rounds", 16), ("steps", 60), ("image", 160), ("batch", 16)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    ratios, bares, engines = [], [], []
    for turn in range(options.rounds + 1):
        with tempfile.TemporaryDirectory() as name:
            build = lambda: make(options.steps, options.image, options.batch, Path(name))  # noqa: E731
            training = build()
            batches = list(itertools.islice(training.batches(start=0, final_from=options.steps), 8))
            if turn % 2:
                one, other = bare(build(), batches, options.steps)[1:], engine(training, batches)
            else:
                other, one = engine(training, batches), bare(build(), batches, options.steps)[1:]
        if turn == 0:
            continue  # warms up
        bares.append(statistics.mean(one))
        engines.append(statistics.mean(other))
        ratios.append(engines[-1] / bares[-1])
        print(f"round {turn}: bare {bares[-1] * 1e3:.1f} ms, engine {engines[-1] * 1e3:.1f} ms, {ratios[-1]:.3f}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(f"python {platform.python_version()}, torch {torch.__version__}, {device}")
    print(
        f"step of {options.batch} images of {options.image} px: bare {statistics.median(bares) * 1e3:.1f} ms, "
        f"engine {statistics.median(engines) * 1e3:.1f} ms"
    )
    together = statistics.mean(engines) / statistics.mean(bares)
    print(f"engine/bare {together:.3f} (steps of {len(ratios)} rounds; a round {min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
