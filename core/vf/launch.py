"""A job: what a launcher starts, here or elsewhere. Plain data, written as text into the run folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import attrs

from vf.errors import RunError
from vf.runs import JOB, RECIPE


@attrs.frozen(kw_only=True)
class Job:
    """One action on one resolved recipe."""

    action: Literal["train", "dry_run"]
    folder: str
    """The run folder."""
    recipe: str
    """Text of the resolved recipe."""
    source: str = ""
    """Name or file of the recipe, for people."""
    checkpoint: str = ""
    """Checkpoint folder to go on from; empty: from the beginning."""
    batches: int = 0
    """Of a dry run."""

    def write(self) -> Path:
        """Write the job into its run folder, and the recipe beside it."""
        folder = Path(self.folder)
        (folder / RECIPE).write_text(self.recipe, encoding="utf-8")
        path = folder / JOB
        path.write_text(json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job file; RunError where it is missing or was not written by :meth:`write`."""
        try:
            data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return cls(**data)
        except FileNotFoundError:
            raise RunError(f"{path}: no such job file") from None
        except (ValueError, TypeError) as error:
            raise RunError(f"{path}: not a job file of this vf: {error}") from None
