"""The program around the commands: help, errors, exit codes, plugins' own commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import click
import pytest

import vf_cli.main
from vf import ConfigError, SetupError, __version__

Vf = Callable[..., Any]


def test_help_lists_ours_and_those_of_plugins(vf: Vf, site: Any) -> None:
    site.fish()
    said = vf("--help")
    assert said.code == 0
    commands = [line.split()[0] for line in said.out.partition("Commands:\n")[2].splitlines()]
    ours = ["run", "list", "convert", "explain", "config", "data", "runs", "demo", "report", "plugins", "doctor"]
    assert commands == [*ours, "swim"]
    assert "Swim a round." in said.out
    assert vf("swim").out == "splash\n"


def test_a_plugin_does_not_take_the_name_of_a_command(vf: Vf, site: Any) -> None:
    site.add(
        "bad", "import vf\nimport click\n@vf.hookimpl\ndef vf_commands(cli):\n    cli.add_command(click.Command('run'))"
    )
    assert vf("plugins", "list").out.splitlines()[-1] == (
        "bad: vf_commands: PluginError: the command 'run' exists already; to remove it: pip uninstall dist-bad"
    )


def test_plugins_add_to_groups_of_ours(vf: Vf, site: Any) -> None:
    head = "import vf\nimport click\n@vf.hookimpl\ndef vf_commands(cli):\n    group = click.Group('data')\n"
    count = "    group.add_command(click.Command('{0}', callback=lambda: click.echo('{0}!'), help='Do {0}.'))\n"
    site.add("one", f"{head}{count.format('fold')}    cli.add_command(group)")
    site.add("two", f"{head}{count.format('check')}    cli.add_command(group)")
    assert "Do fold." in vf("data", "--help").out
    assert vf("data", "fold").out == "fold!\n"
    assert vf("plugins", "list").out.splitlines()[-1] == (
        "two: vf_commands: PluginError: the command 'data check' exists already; to remove it: pip uninstall dist-two"
    )


def test_version(vf: Vf) -> None:
    assert vf("--version").out == f"vf {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["lsit"], "no such command 'lsit'; did you mean 'list'?"),
        (["train"], "no such command 'train'; see 'vf --help'"),
        (["swimm"], "no such command 'swimm'; did you mean 'swim'?"),
        (["plugins", "lst"], "no such command 'lst'; did you mean 'list'?"),
        (["run", "trian"], "'train'"),
        (["config", "show", "--orign"], "'--origin'"),
        (["list", "--jsn"], "'--json'"),
        (["list", "modles"], "'models'"),
    ],
)
def test_usage_errors_say_what_is_near(vf: Vf, site: Any, arguments: list[str], hint: str) -> None:
    site.fish()
    said = vf(*arguments)
    assert said.code == 2
    assert hint in said.err.splitlines()[-1]
    assert said.out == ""


def test_no_plugin(vf: Vf, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fish()
    site.add("crab", "raise SystemExit")
    monkeypatch.setenv("VF_NO_PLUGINS", "crab")
    said = vf("--no-plugin", "fish", "list", "models")
    assert (said.code, said.out, said.err) == (0, "none\n", "")
    assert os.environ["VF_NO_PLUGINS"] == "crab,fish"
    said = vf("--no-plugin", "fihs", "list")
    assert said.code == 2
    assert said.err.splitlines()[-1].endswith("no such plugin 'fihs'; did you mean 'fish'?")
    assert vf("--no-plugin", "xyz", "list").err.splitlines()[-1].endswith("no such plugin 'xyz'; installed: crab, fish")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ConfigError("one", "two"), 2, "error: one\nerror: two\n"),
        (SetupError("no memory"), 3, "error: no memory\n"),
        (click.Abort(), 130, "interrupted\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (click.ClickException("odd"), 2, "Error: odd\n"),
        (SystemExit(75), 75, ""),
    ],
)
def test_errors_and_their_exit_codes(
    vf: Vf, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    @click.command()
    def fail() -> None:
        raise error

    monkeypatch.setitem(vf_cli.main.cli.commands, "fail", fail)
    said = vf("fail")
    assert (said.code, said.err) == (code, text)


def test_a_bug_of_ours_keeps_its_traceback(vf: Vf, monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def fail() -> None:
        raise RuntimeError("ours")

    monkeypatch.setitem(vf_cli.main.cli.commands, "fail", fail)
    with pytest.raises(RuntimeError, match=r"^ours$"):
        vf("fail")


def test_a_reader_that_leaves_early_is_no_error() -> None:
    program = [sys.executable, "-m", "vf_cli", "explain", "train"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
