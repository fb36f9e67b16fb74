"""A job: what a launcher starts, here or elsewhere. Plain data, written as text into the run folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from vf.errors import RunError, SetupError
from vf.runs import JOB, RECIPE, new_run


@attrs.frozen(kw_only=True)
class Nodes:
    """Which machines take part, where vf itself starts the processes."""

    count: int = 1
    rank: int = 0
    """Of this one, from 0."""
    address: str = "127.0.0.1"
    """Of node 0."""
    port: int = 0
    """On node 0; 0: a free one, for one node."""

    @classmethod
    def of(
        cls,
        count: int | None,
        rank: int | None,
        address: str,
        port: int | None,
        environment: Mapping[str, str] = os.environ,
    ) -> Nodes:
        """Take what was given, else NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT or PORT.

        Raises:
            SetupError: with several machines, the address or port of machine 0 or this one's rank is not known.
        """

        def number(given: int | None, *names: str) -> int | None:
            name = next((n for n in names if n in environment), None)
            if given is not None or name is None:
                return given
            if not environment[name].isdecimal():
                raise SetupError(f"{name}: expected a whole number, got {environment[name]!r}")
            return int(environment[name])

        count = number(count, "NNODES") or 1
        if count == 1:
            return cls()  # what PORT means here, if anything, is not ours to judge
        rank, port = number(rank, "NODE_RANK"), number(port, "MASTER_PORT", "PORT")
        address = address or environment.get("MASTER_ADDR", "")
        unknown = {"--node-rank": rank is None, "--master-addr": not address, "--master-port": port is None}
        if any(unknown.values()):
            missing = ", ".join(name for name, is_unknown in unknown.items() if is_unknown)
            raise SetupError(f"--nodes {count}: set {missing} too, the same address and port on every machine")
        assert rank is not None
        assert port is not None
        if rank >= count:
            raise SetupError(f"--node-rank {rank}: expected 0 to {count - 1} for {count} machines")
        return cls(count=count, rank=rank, address=address, port=port)


@attrs.frozen(kw_only=True)
class Job:
    """One action on one resolved recipe."""

    action: Literal["train", "dry_run"]
    folder: str
    """The run folder; empty: rank 0 makes it, from ``out`` and ``name``."""
    recipe: str
    """Text of the resolved recipe."""
    source: str = ""
    """Name or file of the recipe, for people."""
    checkpoint: str = ""
    """Checkpoint folder to go on from; empty: from the beginning."""
    batches: int = 0
    """Of a dry run."""
    out: str = ""
    """Where the user wants the run folder; empty: runs/NAME-NUMBER."""
    name: str = ""
    """For the run folder."""

    def made(self) -> Job:
        """Return the job with its run folder made and written; RunError where it is in the way."""
        job = attrs.evolve(self, folder=str(new_run(self.out or None, self.name)))
        job.write()
        return job

    def text(self) -> str:
        """Return the job as JSON."""
        return json.dumps(attrs.asdict(self), indent=1, ensure_ascii=False)

    def write(self) -> Path:
        """Write the job into its run folder, and the recipe beside it."""
        folder = Path(self.folder)
        (folder / RECIPE).write_text(self.recipe, encoding="utf-8")
        path = folder / JOB
        path.write_text(self.text(), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Read a job file; RunError where it is missing or was not written by :meth:`write`."""
        try:
            return cls.parse(path.read_text(encoding="utf-8", errors="replace"), str(path))
        except FileNotFoundError:
            raise RunError(f"{path}: no such job file") from None
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def parse(cls, text: str, where: str) -> Job:
        """Take what :meth:`text` gave; RunError where it is something else."""
        try:
            data: dict[str, Any] = json.loads(text)
            return cls(**data)
        except (ValueError, TypeError) as error:
            raise RunError(f"{where}: not a job file of this vf: {error}") from None
