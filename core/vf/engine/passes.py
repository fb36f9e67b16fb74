"""The passes of each step, with data workers that may die."""

from __future__ import annotations

from collections.abc import Iterator

from vf.data.loader import RESTARTS, DeadWorkerError
from vf.data.sample import Batch
from vf.engine.build import Training
from vf.engine.growing import Growing, line
from vf.engine.log import keep_until
from vf.errors import RunError

SKIPPED = "skipped.jsonl"


class Passes:
    """Iterates over steps; a batch depends on nothing but its step, so new workers go on where dead ones stopped."""

    def __init__(self, training: Training, final_from: int) -> None:
        self._training = training
        self._final_from = final_from
        self._restarts = 0
        self._skipped = self._open()
        self._count = 0
        self._passes = self._begin()

    def _begin(self) -> Iterator[Batch]:
        return iter(self._training.batches(start=self._training.state.step, final_from=self._final_from))

    def next_step(self) -> list[Batch]:
        """Return the passes of the step after ``state.step``.

        Raises:
            DataError: a sample cannot be read.
            RunError: the data workers died again and again.
        """
        state = self._training.state
        while True:
            try:
                batches = [next(self._passes) for _ in range(state.resolved.recipe.train.accumulate)]
            except DeadWorkerError as death:
                self._restarts += 1
                if self._restarts > RESTARTS or death.hopeless:
                    raise RunError(f"step {state.step + 1}: {death.problems[0]}") from None
                state.say(f"warning: step {state.step + 1}: {death.problems[0]}; started new ones")
                self._passes = self._begin()
            else:
                self._note_skipped(batches)
                return batches

    def _open(self) -> Growing:
        """Forget what was skipped after the step that the run goes on from: it comes again."""
        state = self._training.state
        if state.ranks.world.first:
            keep_until(state.folder / SKIPPED, state.step, evaluated=False)
        state.ranks.agree(0)  # before another process adds to the file
        return Growing(state.folder / SKIPPED)

    def tell_skipped(self) -> None:
        """Say how many samples could not be read, if any."""
        state = self._training.state
        count = sum(state.ranks.gather(self._count))
        if count:
            state.say(f"{count} samples were skipped because they could not be read; see {state.folder / SKIPPED}")

    def _note_skipped(self, batches: list[Batch]) -> None:
        state = self._training.state
        for problem in (p for batch in batches for p in batch.skipped):
            state.say(f"warning: step {state.step + 1}: skipped {problem}")
            self._count += 1
            self._skipped.add(line({"step": state.step + 1, "problem": problem}))
