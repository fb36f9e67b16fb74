"""How long a resumed run takes to its first new step: early in a training, and at step 1,000,000.

    python benchmarks/resume.py [--rounds 5]

Runs `vf run train --resume` on the same checkpoint, once as saved at step 10 and once as if at step 1,000,000, in
turn. Time is from the start of the process to the step's line in log.jsonl.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vf.engine import checkpoint

FAR = 1_000_000
OVERRIDES = ("train.log_every=1", "train.eval_every=0 steps", "train.save_every=0 steps", "train.save_minutes=60.0")


def vf(*arguments: str) -> list[str]:
    """A command line."""
    return [sys.executable, "-m", "vf_cli", "run", "train", *arguments]


def make(folder: Path) -> None:
    """Train for ten steps of a run that is far longer."""
    sets = [part for override in (*OVERRIDES, "train.length=10 steps") for part in ("--set", override)]
    subprocess.run(vf("--task", "det", "--out", str(folder), *sets), check=True, capture_output=True)


def moved(run: Path, to: Path, step: int) -> None:
    """Copy a run, its last checkpoint as if it had been saved at another step."""
    shutil.copytree(run, to, symlinks=True)
    folder = to / "checkpoints"
    last = (folder / "last").resolve()
    weights, trainer = checkpoint.read_weights(last / checkpoint.WEIGHTS), checkpoint.read_trainer(last)
    for old in folder.glob("*"):
        old.unlink() if old.is_symlink() else shutil.rmtree(old)
    trainer = {**trainer, "step": step, "best_step": None}
    written = checkpoint.write(
        folder, step, tensors=weights.tensors, recipe=weights.recipe, info=weights.info, trainer=trainer
    )
    checkpoint.point(folder, "last", written)


def first_step(run: Path, step: int) -> float:
    """Resume, and return the seconds until step ``step + 1`` is logged."""
    began = time.perf_counter()
    process = subprocess.Popen(
        vf("--resume", str(run), "--set", f"train.length={2 * FAR} steps"), stdout=subprocess.DEVNULL
    )
    log = run / "log.jsonl"
    while not (log.is_file() and f'"step": {step + 1},' in log.read_text()):
        if process.poll() is not None:
            raise SystemExit(f"the run ended with exit code {process.returncode}")
        time.sleep(0.005)
    taken = time.perf_counter() - began
    process.terminate()
    process.wait()
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5)
    times: dict[int, list[float]] = {10: [], FAR: []}
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        make(Path(name, "run"))
        for turn in range(rounds + 1):
            for step, found in times.items():
                run = Path(name, f"at{step}_{turn}")
                moved(Path(name, "run"), run, step)
                taken = first_step(run, step)
                if turn:  # the first one warms up
                    found.append(taken)
    for step, found in times.items():
        print(f"resumed at step {step:9,}: first new step after {statistics.median(found):.2f} s (of {rounds})")
    print(f"ratio {statistics.median(times[FAR]) / statistics.median(times[10]):.3f}")


if __name__ == "__main__":
    main()
