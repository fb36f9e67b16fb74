"""``vf`` as typed, and plugins made of text: distributions that take the place of what is installed."""

from __future__ import annotations

import functools
import importlib.metadata
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

import vf.plugins
from vf.plugins import Plugins

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun with & by a shell script: children would not hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

FISH = '''
"""A plugin for tests. Free of torch, and cannot train."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import vf
from vf.protocols import Dataset, DatasetInfo

VF_API = 1


@vf.config
class Anchor:
    """A nested mapping."""

    ratio: float = vf.field(default=1.0, help="height by width", validator=vf.positive())


@vf.config
class Net:
    """A net for fish.

    It has one key of every type.
    """

    width: float = vf.field(help="of the net", validator=vf.positive())
    depth: int = vf.field(default=3, help="number of layers", unit="layers", validator=vf.at_least(1))
    act: Literal["relu", "silu"] = vf.field(default="relu", help="activation")
    size: tuple[int, int] = vf.field(default=(8, 8), help="of the input", unit="px", validator=vf.each(vf.positive()))
    bias: bool = vf.field(default=True, help="add one")
    note: str = vf.field(default="", help="for people")
    weights: Path | None = vf.field(default=None, help="start from this file")
    rates: dict[str, float] = vf.field(default={}, help="by name")
    anchor: Anchor = vf.field(default=Anchor(), help="its shape")

    def __attrs_post_init__(self):
        if self.note == "odd":
            raise ValueError("note and width do not fit")

    def build(self, info):
        raise NotImplementedError


@vf.config
class Wide:
    """Another net."""

    span: int = vf.field(default=1, help="of it")

    def build(self, info):
        raise NotImplementedError


class Split:
    def __init__(self, folder):
        self.files = sorted(Path(folder).glob("*.fish"))

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        if self.files[index].read_text() == "broken":
            raise vf.DataError(f"{self.files[index].name}: cannot be decoded")
        return self.files[index].name


@vf.config
class Pond:
    """Fish in a folder: one file NAME.fish each."""

    path: Path = vf.field(help="the folder")
    limit: int = vf.field(default=0, help="of fish")

    def info(self) -> DatasetInfo:
        if (self.path / "labels.txt").exists():
            raise vf.DataError("labels.txt:1: unknown fish 'cod'", "labels.txt:2: unknown fish 'ray'")
        count = len(list(self.path.glob("*.fish")))
        return DatasetInfo(
            classes=("eel", "carp"), task="fish", num_samples={"train": count}, fingerprint="f", notes=("no val split",)
        )

    def build(self, split):
        return Split(self.path)

    def check(self):
        return [vf.Finding("warning", "carp: only 1 object")] + [
            vf.Finding("error", f"{p.name}: is empty") for p in self.path.glob("*.fish") if not p.read_text()
        ]

    @classmethod
    def sniff(cls, path):
        return {"path": path} if list(Path(path).glob("*.fish")) else None


@vf.config
class Lake:
    """Fish beside water."""

    path: Path = vf.field(help="the folder")

    def info(self):
        raise NotImplementedError

    def build(self, split):
        raise NotImplementedError

    def check(self):
        return []

    @classmethod
    def sniff(cls, path):
        return {"path": path} if (Path(path) / "water").exists() else None


@vf.config
class Weight:
    """Weigh the fish."""

    def build(self, info):
        raise NotImplementedError


@vf.hookimpl
def vf_models():
    return {"net": Net, "wide": Wide}


@vf.hookimpl
def vf_datasets():
    return {"lake": Lake, "pond": Pond}


@vf.hookimpl
def vf_metrics():
    return {"weight": Weight}


@vf.hookimpl
def vf_recipes():
    return {f"fish/{p.stem}": p for p in sorted((Path(__file__).parent / "recipes").glob("*.yaml"))}


@vf.hookimpl
def vf_commands(cli):
    import click

    @cli.command()
    def swim():
        """Swim a round."""
        click.echo("splash")
'''

QUICKSTART = """\
# A net on a pond
task: fish
model: {name: net, width: 0.5, size: [8, 8]}
data:
  name: pond
  path: pond
augment:
  - name: horizontal_flip
  - {name: color_jitter, hue: 0.1}
metrics:
  - name: weight
train:
  length: 10 steps
  batch_size: 4
  optimizer: {name: sgd, lr: 0.1, weight_decay: 5e-4}
  schedule: {name: cosine, warmup: 2 steps}
"""


@attrs.frozen
class Said:
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Return a function that runs ``vf ARGUMENTS`` in this process."""
    from vf_cli.main import main

    def run(*arguments: str) -> Said:
        monkeypatch.setattr("sys.argv", ["vf", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        return Said(ended.value.code, said.out, said.err)

    return run


class Site:
    """A folder that holds installed distributions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, code: str, *, module: str = "", dist: str = "", version: str = "1.0") -> None:
        """Install a distribution whose entry point ``name`` is a module of this code."""
        module, dist = module or f"fake_{name}", dist or f"dist-{name}"
        (self.folder / f"{module}.py").write_text(code)
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[vf]\n{name} = {module}\n")

    def recipe(self, name: str, text: str) -> Path:
        """Write a recipe of the plugin fish."""
        folder = self.folder / "recipes"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def fish(self) -> None:
        """Install the plugin fish with its recipe fish/quickstart."""
        self.add("fish", FISH)
        self.recipe("quickstart", QUICKSTART)

    def found(self) -> Plugins:
        """Look what is installed."""
        return vf.plugins.plugins()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Nothing but core is installed, and what the test adds; the working folder is empty."""
    site = Site(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()

    real = importlib.metadata.entry_points

    def entry_points(**wanted: str) -> Any:
        if wanted.get("group") != "vf":  # other libraries find their own
            return real(**wanted)
        found = importlib.metadata.distributions(path=[str(site.folder)])
        return [point for dist in found for point in dist.entry_points if point.group == "vf"]

    monkeypatch.chdir(work)
    monkeypatch.delenv("VF_NO_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(site.folder)
    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    monkeypatch.setattr(vf.plugins, "_discover", functools.cache(Plugins))
    before = set(sys.modules)
    yield site
    for name in set(sys.modules) - before:
        if name.startswith("fake_"):
            del sys.modules[name]
