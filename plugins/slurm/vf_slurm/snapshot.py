"""The code that a job runs: a copy of what is being worked on, and the versions of what is installed."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import vf
from vf.plugins import plugins

INSTALLED = ("site-packages", "dist-packages")
"""Folders whose content nobody edits."""


def take(folder: Path) -> dict[str, Any]:
    """Copy the packages of vf and its plugins that are not installed but worked on, and say what runs.

    Args:
        folder: is made anew; goes before everything else on the job's PYTHONPATH.

    Returns:
        the copied packages with their git commits, and the versions of all that is installed.
    """
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    copied: dict[str, Any] = {}
    diffs: dict[str, str] = {}
    for name, source in _packages().items():
        if any(part in INSTALLED for part in source.parts):
            continue
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy2(source, folder / source.name)
        copied[name] = {"from": str(source), **_commit(source, diffs)}
    for number, diff in enumerate(diffs.values()):
        (folder.parent / f"{folder.name}{number or ''}.diff").write_text(
            diff, encoding="utf-8", errors="surrogateescape"
        )
    return {"python": platform.python_version(), "copied": copied, "versions": _versions()}


def _packages() -> dict[str, Path]:
    """Return vf and the packages of its plugins: a folder, or the file of a module."""
    names = {"vf", *(p.module.partition(".")[0] for p in plugins().found if p.status == "loaded")}
    out = {}
    for name in sorted(names):
        file = vf.__file__ if name == "vf" else getattr(sys.modules.get(name), "__file__", None)
        if file:
            path = Path(file).resolve()
            out[name] = path.parent if path.name == "__init__.py" else path
    return out


def _commit(source: Path, diffs: dict[str, str]) -> dict[str, Any]:
    """Return the git commit of a package, and keep how its checkout differs from it."""
    where = source if source.is_dir() else source.parent
    root, commit = _git(where, "rev-parse", "--show-toplevel"), _git(where, "rev-parse", "HEAD")
    if not root or not commit:
        return {}
    if root not in diffs:
        diffs[root] = _git(Path(root), "diff", "HEAD", strip=False)
    return {"checkout": root, "commit": commit, "changed": bool(diffs[root])}


def _git(folder: Path, *arguments: str, strip: bool = True) -> str:
    """Return what git says; empty where it is missing or this is no checkout."""
    if shutil.which("git") is None:
        return ""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    return (done.stdout.strip() if strip else done.stdout) if done.returncode == 0 else ""


def _versions() -> dict[str, str]:
    found = {dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions()}
    return dict(sorted(found.items()))
