"""Lines and progress bars for people: live bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import IO, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

T = TypeVar("T")
QUIET_SECONDS = 10.0
"""Distance between the plain lines of one bar."""


class Console:
    """Where a run speaks. Use as a context manager, so that a live bar is taken down in every case."""

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = stream or sys.stdout
        self.live = self._stream.isatty()
        self._progress: Progress | None = None

    def __enter__(self) -> Console:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def say(self, line: str = "") -> None:
        """Print one line, above the bars where there are any."""
        if self._progress is not None:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """Print rows with aligned columns, the first to the left and the others to the right."""
        widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))] if rows else []
        for row in rows:
            cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))]
            self.say("  " + "  ".join(cells).rstrip())

    def bar(self, label: str, total: int | None, *, start: int = 0) -> Bar:
        """Begin a progress bar, open-ended without ``total``; call ``update`` as it goes and ``close`` at its end."""
        if not self.live:
            return Bar(self, label, total, start)
        return LiveBar(self, label, total, start, self._started())

    def track(self, items: Iterable[T], label: str, total: int) -> Iterator[T]:
        """Yield items under a bar."""
        bar = self.bar(label, total)
        for done, item in enumerate(items, 1):
            yield item
            bar.update(done)
        bar.close()

    def _started(self) -> Progress:
        if self._progress is None:
            from rich.console import Console as RichConsole
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
            )
            self._progress = Progress(*columns, console=RichConsole(file=self._stream), transient=True)
            self._progress.start()
        return self._progress


class Bar:
    """A bar that prints a line now and then, and one at its end."""

    def __init__(self, console: Console, label: str, total: int | None, start: int) -> None:
        self._console = console
        self._label = label
        self._total = total
        self._done = start
        self._text = ""
        self._spoke = time.monotonic()

    def update(self, done: int, text: str | None = None) -> None:
        """Set the count, and the text beside it where given."""
        self._done = done
        self._text = self._text if text is None else text
        if time.monotonic() - self._spoke >= QUIET_SECONDS:
            self._speak()

    def close(self) -> None:
        """Take the bar down."""

    def _speak(self) -> None:
        self._spoke = time.monotonic()
        done = str(self._done) if self._total is None else f"{self._done}/{self._total}"
        self._console.say(f"{self._label} {done}  {self._text}".rstrip())


class LiveBar(Bar):
    """A bar that rich redraws."""

    def __init__(self, console: Console, label: str, total: int | None, start: int, progress: Progress) -> None:
        super().__init__(console, label, total, start)
        self._progress = progress
        self._task: TaskID = progress.add_task(label, total=total, completed=start, text="")

    def update(self, done: int, text: str | None = None) -> None:
        """Set the count, and the text beside it where given."""
        self._text = self._text if text is None else text
        self._progress.update(self._task, completed=done, text=self._text)

    def close(self) -> None:
        """Take the bar down."""
        self._progress.remove_task(self._task)


def duration(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def megabytes(count: int) -> str:
    """Return a number of bytes as ``12.3 MB`` (10^6 bytes)."""
    return f"{count / 1e6:.1f} MB"


def metric(value: float | None) -> str:
    """Return a metric for people; ``n/a`` where there was nothing to measure."""
    return "n/a (0 objects)" if value is None else f"{value:.4f}"
