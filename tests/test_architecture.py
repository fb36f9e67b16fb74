"""The law of the house: who may import whom, and how long things may get."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core" / "vf"
CLI = ROOT / "cli" / "vf_cli"
PLUGINS = sorted(p for p in (ROOT / "plugins").glob("*/vf_*") if p.is_dir() and not p.name.endswith("-info"))
PACKAGES = [CORE, CLI, *PLUGINS]

TORCH_FREE = [
    "hookspecs",
    "protocols",
    "translation",
    "plugins",
    "structuring",
    "errors",
    "recipes",
    "schema",
    "yaml12",
    "training",
    "optimizers",
    "samplers",
    "schedules",
    "builtin",
    "builtin_configs",
    "backbones",
    "necks",
    "resizing",
    "transform_configs",
    "wrapper_configs",
    "decoded_configs",
    "color_configs",
    "runs",
    "history",
    "comparison",
    "launch",
    "launchers",
    "orders",
    "sweeps",
    "in_turn",
    "member",
    "preflight",
    "console",
    "downloads",
    "fetch",
    "unpack",
    "downloading",
    "__init__",
]
HEAVY = {"torch", "torchvision", "numpy", "cv2", "pycocotools", "submitit", "timm", "scipy", "tensorboard", "PIL"}


def sources(folder: Path) -> list[Path]:
    """Return the modules of a package, without the template that `vf plugins new` copies."""
    return sorted(p for p in folder.rglob("*.py") if "template" not in p.relative_to(folder).parts)


FILES = [path for package in PACKAGES for path in sources(package)]


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda p: str(p.relative_to(ROOT)))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules(nodes: Iterator[ast.AST]) -> set[str]:
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def all_imports(path: Path) -> set[str]:
    return modules(ast.walk(tree(path)))


def top_imports(path: Path) -> set[str]:
    """Return what an import of the file imports: not what lies in functions or under TYPE_CHECKING."""

    def walk(node: ast.AST) -> Iterator[ast.AST]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                continue
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                continue
            yield child
            yield from walk(child)

    return modules(walk(tree(path)))


def roots(imports: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in imports}


def plugin_roots() -> set[str]:
    return {p.name for p in PLUGINS} | {"vf_det", "vf_seg", "vf_cls", "vf_ocr", "vf_slurm"}


def heavy_of_ours(imports: set[str]) -> set[str]:
    """Return core's modules that import torch at their top."""
    light = {f"vf.{name}" for name in TORCH_FREE} | {"vf"}
    files = {f"vf.{'.'.join(p.relative_to(CORE).with_suffix('').parts)}" for p in sources(CORE)}
    return {name for name in imports if name in files - light}


@named([CORE / f"{name}.py" for name in TORCH_FREE])
def test_the_light_files_of_core_import_nothing_heavy(path: Path) -> None:
    assert not roots(top_imports(path)) & (HEAVY | {"click"})
    assert not heavy_of_ours(top_imports(path))


@named(sources(CORE))
def test_core_knows_neither_the_command_line_nor_a_plugin(path: Path) -> None:
    typing_only = {"click"} if path.name == "hookspecs.py" else set()
    assert not (roots(all_imports(path)) & ({"click", "vf_cli"} | plugin_roots())) - typing_only


@named(sources(CLI))
def test_the_command_line_is_light_and_knows_no_plugin_by_name(path: Path) -> None:
    assert not roots(top_imports(path)) & HEAVY
    assert not heavy_of_ours(top_imports(path))
    assert not roots(all_imports(path)) & plugin_roots()


@named([path for package in PLUGINS for path in sources(package)])
def test_a_plugin_knows_neither_the_command_line_nor_another_plugin(path: Path) -> None:
    own = next(p.name for p in PLUGINS if path.is_relative_to(p))
    assert not roots(all_imports(path)) & ({"vf_cli"} | plugin_roots()) - {own}


@named([p for package in PLUGINS for p in [package / "__init__.py", *sorted(package.glob("*_configs.py"))]])
def test_what_discovery_imports_of_a_plugin_is_light(path: Path) -> None:
    assert not roots(top_imports(path)) & HEAVY
    assert not heavy_of_ours(top_imports(path))


def test_the_extension_surface_is_one_short_file_whose_hooks_are_all_documented() -> None:
    path = CORE / "hookspecs.py"
    assert len(path.read_text().splitlines()) < 100
    hooks = [n for n in tree(path).body if isinstance(n, ast.FunctionDef)]
    assert len(hooks) == 11
    assert all(hook.name.startswith("vf_") and ast.get_docstring(hook) for hook in hooks)


def test_the_loop_is_short() -> None:
    assert len((CORE / "engine" / "train.py").read_text().splitlines()) < 250


@named(FILES)
def test_files_and_functions_keep_their_budget(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
            lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"


@named(FILES)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)) or not tree(path).body


@named(PACKAGES)
def test_every_package_is_typed(path: Path) -> None:
    assert (path / "py.typed").is_file()
