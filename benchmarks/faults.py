"""What faults cost: trainings that are killed, stopped, starved and robbed, and then resumed.

    python benchmarks/faults.py [--tries 1.0] [--seed 0] [--parallel 3] [--only REGEX] [--keep DIR]

Each try is one training of the plugin in tests/toy, with dropout, batch norm, two data workers, two passes a step and
an average of the weights. Something happens to it at a random moment; then the command that started it is typed again.
Prints a Markdown table. A run is lost where it does not come to its end with exit code 0, where it does not stop as a
signal asks it to, or leaves processes behind. A result is wrong where a tensor, counter, generator or logged number
differs by a bit from those of the undisturbed run. Ends with exit code 1 if any is lost or wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import attrs
from faults_kinds import KINDS, Kind
from faults_trial import Reference, Trial, different, fork_server, make_trial, outcome, undisturbed


def can_mount() -> bool:
    """Whether this user may mount a small disk."""
    with tempfile.TemporaryDirectory() as name, contextlib.suppress(OSError), small_disk(Path(name)) as mounted:
        return mounted
    return False


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """Mount a disk of a few megabytes."""
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


@attrs.frozen
class Verdict:
    """How a try ended."""

    kind: Kind
    lost: str = ""
    wrong: Sequence[str] = ()
    hit: bool = True


class Bench:
    """Tries one fault after the other, in threads with a fork server each."""

    def __init__(self, root: Path, seed: int, *, keep: bool) -> None:
        self._root = root
        self._seed = seed
        self._keep = keep
        self._own = threading.local()
        self._servers = contextlib.ExitStack()
        self._references: dict[int, Reference] = {}

    def close(self) -> None:
        """End the fork servers."""
        self._servers.close()

    def _server(self) -> Any:
        if not hasattr(self._own, "server"):
            self._own.server = self._servers.enter_context(fork_server())
        return self._own.server

    def learn(self, nprocs: Sequence[int]) -> list[str]:
        """Train undisturbed, twice each; return what is not the same even then."""
        unstable = []
        for nproc in nprocs:
            runs = [undisturbed(self._root / f"plain{nproc}-{n}", self._server(), nproc) for n in range(2)]
            self._references[nproc] = runs[-1]
            unstable += different(runs[0].outcome, runs[1].outcome)
        return unstable

    def attempt(self, number: int, kind: Kind) -> Verdict:
        """Do one try; what it leaves is thrown away unless it failed and is to be kept."""
        folder = self._root / f"{number:03d}"
        reference = self._references[kind.nproc]
        random = Random(f"{self._seed}/{kind.title}/{number}")
        place = "disk/run" if kind.on_disk else "run"
        facts = {"nproc": kind.nproc, "seconds": reference.seconds, "log_size": reference.log_size, "place": place}
        trial = make_trial(folder, self._server(), random, **facts)
        with contextlib.ExitStack() as stack:
            if kind.on_disk:
                trial.run.parent.mkdir()
                stack.enter_context(small_disk(trial.run.parent))
            verdict = judge(trial, kind, reference)
            if self._keep and kind.on_disk:
                shutil.copytree(trial.run, folder / "run", symlinks=True)
        if not (self._keep and (verdict.lost or verdict.wrong)):
            shutil.rmtree(folder)
        return verdict


def judge(trial: Trial, kind: Kind, reference: Reference) -> Verdict:
    """Let it happen, and compare what is left with the undisturbed run."""
    try:
        kind.fault(trial)
        wrong = different(reference.outcome, outcome(trial.run)) if kind.ends else []
    except Exception as error:
        return Verdict(kind, lost=f"{type(error).__name__}: {error}")
    return Verdict(kind, wrong=wrong, hit=trial.hit)


def report(kinds: Sequence[Kind], verdicts: Sequence[Verdict]) -> int:
    """Print the table; return how many tries failed."""
    print("| kind | tried | runs lost | wrong results |\n|---|---|---|---|")
    lost, wrong = sum(bool(v.lost) for v in verdicts), sum(bool(v.wrong) for v in verdicts)
    for kind in kinds:
        own = [v for v in verdicts if v.kind is kind]
        print(f"| {kind.title} | {len(own)} | {sum(bool(v.lost) for v in own)} | {sum(bool(v.wrong) for v in own)} |")
    print(f"| **total** | {len(verdicts)} | {lost} | {wrong} |")
    return lost + wrong


def tell(number: int, count: int, verdict: Verdict, seconds: float) -> None:
    """Say to stderr how a try ended."""
    ended = f"LOST {verdict.lost}" if verdict.lost else ""
    ended = ended or (f"WRONG {len(verdict.wrong)}: {', '.join(verdict.wrong[:6])}" if verdict.wrong else "ok")
    missed = "" if verdict.hit else " (missed its moment)"
    print(f"[{number:3d}/{count}] {seconds:4.0f} s  {verdict.kind.title}: {ended}{missed}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--tries", type=float, default=1.0, help="times the usual number of each kind")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--parallel", type=int, default=3, help="trainings at a time")
    parser.add_argument("--only", default="", help="kinds whose title this regular expression finds")
    parser.add_argument("--keep", default="", help="folder that the runs that failed are left in; must not exist")
    return parser.parse_args()


def main() -> int:
    """Do all tries and print the table."""
    options = arguments()
    kinds = [kind for kind in KINDS if re.search(options.only, kind.title)]
    if any(kind.on_disk for kind in kinds) and not can_mount():
        print("disk full: not tried, because this user may not mount a tmpfs", file=sys.stderr)
        kinds = [kind for kind in kinds if not kind.on_disk]
    jobs = [kind for kind in kinds for _ in range(max(1, round(kind.tries * options.tries)))]
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(options.keep or name), options.seed, keep=bool(options.keep))
        verdicts: list[Verdict] = []
        with contextlib.closing(bench):
            if unstable := bench.learn(sorted({kind.nproc for kind in kinds})):
                print(f"two undisturbed runs differ: {', '.join(unstable[:8])}", file=sys.stderr)
                return 1

            def attempt(number: int) -> None:
                verdicts.append(bench.attempt(number, jobs[number]))
                tell(len(verdicts), len(jobs), verdicts[-1], time.monotonic() - began)

            with ThreadPoolExecutor(options.parallel) as pool:
                list(pool.map(attempt, range(len(jobs))))
    failed = report(kinds, verdicts)
    print(f"\n{len(jobs)} faults, seed {options.seed}, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
