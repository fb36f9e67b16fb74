"""Launchers are chosen and filled in from flags, each value typed by its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from vf.builtin_configs import Local
from vf.errors import ConfigError
from vf.launchers import choose

CLOUD = '''
from typing import Any
import vf

@vf.config
class Cloud:
    """Somewhere else."""

    nodes: int | None = vf.field(default=None, help="machines", validator=vf.positive())
    zone: str | None = vf.field(default=None, help="of them")
    price: float = vf.field(default=1.5, help="at most", unit="€/h")
    spot: bool = vf.field(default=False, help="cheap ones")
    setup: tuple[str, ...] = vf.field(default=(), help="lines of shell")
    more: dict[str, Any] = vf.field(default={}, help="anything")

    def launch(self, job):
        print(job.action, self.nodes, self.zone)
        return 7

    def script(self, job):
        return f"# {job.action} {self.zone}"

@vf.hookimpl
def vf_launchers():
    return {"cloud": Cloud}
'''


@pytest.fixture
def cloud(site: Any) -> type[Any]:
    """A launcher with a key of every type."""
    site.fish()
    site.add("cloud", CLOUD)
    found: type[Any] = site.found().lookup("launcher", "cloud")
    return found


def test_the_local_one_is_the_default(cloud: type[Any]) -> None:
    assert choose(None, None, {}) == Local()
    assert choose(None, None, {"nproc": 2}) == Local(nproc=2)
    assert choose("local", cloud(zone="x"), {}) == Local()


def test_flags_are_typed_by_their_keys(cloud: type[Any]) -> None:
    more = ["x=1", "z=true", "w=a b"]
    flags = {"nodes": "2", "zone": "007", "price": "2", "spot": True, "setup": ["a: b", "1"], "more": more}
    assert choose("cloud", None, flags) == cloud(
        nodes=2, zone="007", price=2.0, spot=True, setup=("a: b", "1"), more={"x": 1, "z": True, "w": "a b"}
    )


def test_flags_go_before_the_recipe_and_leave_its_other_keys(cloud: type[Any]) -> None:
    own = cloud(nodes=2, zone="x", setup=("a",), more={"k": True})
    assert choose(None, own, {"nodes": 3}) == attrs.evolve(own, nodes=3)
    assert choose("cloud", own, {}) == own


@pytest.mark.parametrize(
    ("name", "flags", "sentence"),
    [
        ("cloud", {"nodes": "two"}, "--nodes two: launcher.nodes: expected int, got str 'two'"),
        ("cloud", {"nodes": 0}, "--nodes 0: launcher.nodes: must be > 0, got 0"),
        ("cloud", {"more": ["x"]}, "--more x: expected KEY=VALUE"),
        (
            "cloud", {"nproc": 2},
            "--nproc: belongs to the launcher local, and this run's is cloud; add --launcher local",
        ),
        (
            None, {"zone": "x", "spot": True},
            "--zone, --spot: belongs to the launcher cloud, and this run's is local; add --launcher cloud",
        ),
        (
            "cloud", {"nproc": 2, "tasks": 1},
            "--nproc, --tasks: belongs to another launcher, and this run's is cloud; see 'vf explain launcher cloud'",
        ),
        ("clowd", {}, "unknown launcher 'clowd'; did you mean 'cloud'?"),
    ],
)  # fmt: skip
def test_mistakes(cloud: type[Any], name: str | None, flags: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose(name, None, flags)
    assert caught.value.problems == (sentence,)


def test_the_command_line_hands_jobs_to_it(cloud: type[Any], typed: Callable[..., Any]) -> None:
    said = typed("run", "test", "model", "--launcher", "cloud", "--zone", "x", "--nodes", "2")
    assert (said.code, said.out, said.err) == (7, "test 2 x\n", "")
    said = typed("run", "infer", "model", "images", "--launcher", "cloud", "--zone", "x", "--print")
    assert (said.code, said.out, said.err) == (0, "# infer x\n", "")
    help_ = typed("run", "infer", "--help").out
    assert "--price TEXT" in help_
    assert "cloud: at most [€/h]" in help_
