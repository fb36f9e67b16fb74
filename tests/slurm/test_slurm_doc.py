"""docs/slurm.md: its commands make scripts, and it leaves no option out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from vf.launchers import flag
from vf.recipes import resolve
from vf.sweeps import plan
from vf_slurm.found import JOBS
from vf_slurm.launcher_configs import Slurm

PAGE = (Path(__file__).parents[2] / "docs" / "slurm.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("  #")[0].strip() for line in re.findall(r"^(vf run .*)$", PAGE, re.MULTILINE)]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_makes_a_script(
    command: str, typed: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("runs/det-quickstart-001")
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text(resolve("det/quickstart").yaml())
    Path("runs/det-quickstart-sweep-001").mkdir()
    plan(["seed=0,1"], reference="det/quickstart").at(Path("runs/det-quickstart-sweep-001")).made()
    words = shlex.split(command)[1:]
    said = typed(*words, *(["--print"] if "--print" not in words else []))
    assert (said.code, said.err) == (0, "")
    assert "#!/bin/bash\n#SBATCH --job-name=" in said.out
    assert ("--sweep" in words or "sweep-001" in command) == ("#SBATCH --array=0-" in said.out)
    assert not (run / "slurm").exists()


def test_every_option_is_named() -> None:
    assert len(COMMANDS) > 4
    for field in attrs.fields(Slurm):
        assert f"`{flag(field.name)}" in PAGE, field.name
    for name in (JOBS, "events.jsonl", "code.diff", "4711_submission.sh", "4711_0_log.out", "4711.0.error"):
        assert f"{name} " in PAGE or f"{name}," in PAGE
