"""docs/plugins.md, command by command, with the package installed away from the environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
KINDS = ("model", "backbone", "dataset", "transform", "metric", "callback", "launcher")


def run(*command: str, cwd: Path, path: Path | None = None, code: int = 0) -> str:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if path is not None:
        env["PYTHONPATH"] = str(path)
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def make(folder: Path, name: str, kind: str) -> Path:
    """Write and install a plugin into a folder of its own; return that folder."""
    run("vf_cli", "plugins", "new", name, "--kind", kind, cwd=folder)
    site = folder / "site"
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    run("pip", "install", *options, "--target", str(site), str(folder / name), cwd=folder)
    return site


def test_a_model_of_ones_own_is_listed_explained_tested_and_trained(tmp_path: Path) -> None:
    site = make(tmp_path, "my_model", "model")
    assert "my_model" in run("vf_cli", "list", "models", cwd=tmp_path, path=site)
    assert "channels of the first layer" in run("vf_cli", "explain", "model", "my_model", cwd=tmp_path, path=site)
    assert "2 passed" in run("pytest", "-q", "my_model", cwd=tmp_path, path=site)
    changes = ["--set", "model.name=my_model", "--set", "data.size=64", "--set", "model.size=[64, 64]"]
    small = ["--set", "train.batch_size=4", "--set", "loader.workers=0"]
    train = ["vf_cli", "run", "train", "--task", "det", *changes, *small, "--dry-run", "1"]
    assert "dry run done: everything works" in run(*train, cwd=tmp_path, path=site)
    (tmp_path / "my_run.yaml").write_text("extends: det/quickstart\nmodel:\n  name: my_model\n  width: 48\n")
    assert run("vf_cli", "config", "check", "my_run.yaml", cwd=tmp_path, path=site).startswith("ok")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_passes_its_own_test_once_written(tmp_path: Path, kind: str) -> None:
    run("vf_cli", "plugins", "new", f"my_{kind}", "--kind", kind, cwd=tmp_path)
    assert " passed" in run("pytest", "-q", f"my_{kind}", cwd=tmp_path, path=tmp_path / f"my_{kind}")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "My-Model",
            "error: plugin name 'My-Model': expected small letters, digits and _, beginning with a letter, "
            "not vf or vf_…",
        ),
        (
            "class",
            "error: plugin name 'class': expected small letters, digits and _, beginning with a letter, not vf or vf_…",
        ),
        ("taken", "error: taken: exists; choose another name or --dir"),
    ],
)
def test_names_that_cannot_be(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "taken").mkdir()
    out = run("vf_cli", "plugins", "new", name, "--kind", "model", cwd=tmp_path, code=2)
    assert out.strip() == sentence


def test_the_guide_names_every_hook_and_kind() -> None:
    hooks = re.findall(r"^def (vf_\w+)", (ROOT / "core/vf/hookspecs.py").read_text(encoding="utf-8"), re.MULTILINE)
    for hook in hooks:
        assert f"`{hook}`" in GUIDE
    for kind in KINDS:
        assert f"`{kind}`" in GUIDE
