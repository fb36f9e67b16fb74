"""What discovery finds, and every sentence that it says about plugins that cannot be used."""

from __future__ import annotations

import re
from typing import Any

import pytest

import vf
from vf.plugins import Plugin

MODEL = """
import vf

@vf.config
class Net:
    '''A net.'''

@vf.hookimpl
def vf_models():
    return {"net": Net}
"""


def plugin(site: Any, name: str) -> Plugin:
    return next(p for p in site.found().found if p.name == name)


def test_core_comes_through_its_own_hooks(site: Any) -> None:
    (core,) = site.found().found
    assert (core.name, core.dist, core.status) == ("core", "vf-core", "loaded")
    assert site.found().names("launcher") == ["local"]


def test_a_plugin_brings_components_recipes_and_commands(site: Any) -> None:
    site.fish()
    found = site.found()
    fish = plugin(site, "fish")
    assert (fish.dist, fish.version, fish.module, fish.status) == ("dist-fish", "1.0", "fake_fish", "loaded")
    assert found.names("model") == ["net", "wide"]
    assert found.find("model", "net").plugin == found.recipe_owner("fish/quickstart") == "fish"
    assert list(found.recipes) == ["fish/quickstart"]
    assert not fish.imports_torch
    assert found.name_of("model", found.lookup("model", "wide")) == "wide"


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("def broken(:", "SyntaxError: invalid syntax (fake_bad.py, line 1)"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise ValueError('two\\nlines')", "ValueError: two lines"),
        (
            "import vf\n@vf.hookimpl\ndef vf_model():\n    return {}",
            "PluginError: unknown hook 'vf_model'; did you mean 'vf_models'?",
        ),
        ("def vf_models():\n    return {}", "PluginError: hook 'vf_models' lacks @vf.hookimpl"),
        (
            "import vf\n@vf.hookimpl\ndef vf_models():\n    return {'net': 3}",
            "TypeError: vf_models() gives 3 for 'net', expected a class made with @vf.config",
        ),
        ("import vf\n@vf.hookimpl\ndef vf_models():\n    return 1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_plugin_is_listed_and_the_rest_works(site: Any, code: str, problem: str) -> None:
    site.fish()
    site.add("bad", code)
    bad = plugin(site, "bad")
    assert (bad.status, bad.problem) == ("broken", problem)
    assert bad.cure == "pip uninstall dist-bad"
    assert plugin(site, "fish").status == "loaded"
    site.found().check()
    assert site.found().broken == [bad]
    assert site.found().excuse() == " (plugins that failed to load: bad; see 'vf plugins list')"


def test_an_interrupt_is_not_swallowed(site: Any) -> None:
    site.add("bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.found()


@pytest.mark.parametrize(("api", "status"), [(0, "loaded"), (1, "loaded"), (2, "incompatible"), (-1, "incompatible")])
def test_the_api_version_before_this_one_loads_and_others_do_not(site: Any, api: int, status: str) -> None:
    site.add("old", f"VF_API = {api}\n{MODEL}")
    old = plugin(site, "old")
    assert old.status == status
    assert old.problem == ("" if status == "loaded" else f"needs plugin API {api}, this vf has {vf.API_VERSION}")
    assert site.found().names("model") == (["net"] if status == "loaded" else [])


@pytest.mark.parametrize("blocked", ["bad", "fish, bad", "all"])
def test_a_disabled_plugin_is_not_even_imported(site: Any, blocked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    site.fish()
    site.add("bad", "raise KeyboardInterrupt")
    monkeypatch.setenv("VF_NO_PLUGINS", blocked)
    assert plugin(site, "bad").status == "disabled"
    assert plugin(site, "fish").status == ("loaded" if blocked == "bad" else "disabled")
    assert site.found().broken == []


def test_two_plugins_with_one_component(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("one", MODEL)
    site.add("two", MODEL)
    with pytest.raises(vf.PluginError) as caught:
        site.found().check()
    assert str(caught.value) == (
        "model 'net' is claimed twice: by fake_one.Net of plugin 'one' and by fake_two.Net of plugin 'two'; "
        "uninstall one or pass --no-plugin NAME"
    )
    monkeypatch.setenv("VF_NO_PLUGINS", "one")
    site.found().check()
    assert site.found().find("model", "net").plugin == "two"


def of_task(task: str) -> str:
    return f"VF_TASK = {task!r}\n{MODEL}"


def test_a_name_belongs_to_the_task_of_its_plugin(site: Any) -> None:
    site.add("one", of_task("cats"))
    site.add("two", of_task("dogs"))
    found = site.found()
    found.check()
    assert [(c.plugin, c.task) for c in found.components("model")] == [("one", "cats"), ("two", "dogs")]
    assert [c.plugin for c in found.components("model", "dogs")] == ["two"]
    assert found.lookup("model", "net", "cats").__module__ == "fake_one"
    assert found.lookup("model", "net", "dogs").__module__ == "fake_two"
    assert found.name_of("model", found.lookup("model", "net", "dogs")) == "net"
    for task, sentence in (
        ("", "model 'net': there is one for each of cats, dogs; say which: --task cats"),
        ("birds", "model 'net' belongs to task cats, not birds; here: none"),
    ):
        with pytest.raises(vf.ConfigError) as caught:
            found.find("model", "net", task)
        assert str(caught.value) == sentence
    with pytest.raises(vf.ConfigError) as caught:
        found.find("model", "nt", "dogs")
    assert str(caught.value) == "unknown model 'nt'; did you mean 'net'?"


def test_a_plugin_without_a_task_is_seen_by_all(site: Any) -> None:
    site.add("one", of_task("cats"))
    site.add("two", MODEL.replace('"net"', '"wide"'))
    assert site.found().names("model", "cats") == ["net", "wide"]
    assert site.found().find("model", "wide", "cats").plugin == "two"


def test_a_name_for_all_tasks_and_for_one(site: Any) -> None:
    site.add("one", of_task("cats"))
    site.add("three", MODEL)
    with pytest.raises(vf.PluginError, match=r"model 'net' is claimed twice: by fake_one.Net of plugin 'one'"):
        site.found().check()


def test_an_unknown_task(site: Any) -> None:
    site.add("one", of_task("cats"))
    site.found().check_task("cats")
    with pytest.raises(vf.ConfigError) as caught:
        site.found().check_task("cat")
    assert str(caught.value) == "--task cat: no such task; did you mean 'cats'?"


def test_two_plugins_with_one_recipe(site: Any) -> None:
    code = "from pathlib import Path\nimport vf\n@vf.hookimpl\ndef vf_recipes():\n    return {'a/b': Path('x')}"
    site.add("one", code)
    site.add("two", code)
    assert site.found().clashes == [
        "recipe 'a/b' is claimed twice: by plugin 'one' and by plugin 'two'; uninstall one or pass --no-plugin NAME"
    ]


def test_two_distributions_with_one_plugin_name(site: Any) -> None:
    site.add("net", MODEL, module="fake_a", dist="dist-a")
    site.add("net", MODEL, module="fake_b", dist="dist-b")
    found = site.found()
    assert found.clashes == [
        "plugin 'net' is claimed by dist-a (fake_a) and dist-b (fake_b): two plugins with one name; uninstall one"
    ]
    both = [p for p in found.found if p.name == "net"]
    assert [(p.status, p.problem) for p in both] == [("broken", "PluginError: name claimed twice")] * 2
    assert found.components("model") == []


def test_nobody_else_is_called_core(site: Any) -> None:
    site.add("core", MODEL)
    assert site.found().clashes == [
        "plugin 'core' is claimed by dist-core (fake_core): two plugins with one name; uninstall one"
    ]


def test_a_plugin_without_distribution_is_cured_by_the_option() -> None:
    assert Plugin("x", "", "", "m").cure == "--no-plugin x"


def test_commands_that_fail_break_the_plugin(site: Any) -> None:
    site.add("bad", "import vf\n@vf.hookimpl\ndef vf_commands(cli):\n    cli.nonsense()")
    found = site.found()
    found.add_commands(object())
    assert plugin(site, "bad").problem == "vf_commands: AttributeError: 'object' object has no attribute 'nonsense'"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nett", "unknown model 'nett'; did you mean 'net'?"),
        ("resnet50", "unknown model 'resnet50'; installed: net, wide"),
    ],
)
def test_an_unknown_component(site: Any, name: str, sentence: str) -> None:
    site.fish()
    with pytest.raises(vf.ConfigError, match=f"^{re.escape(sentence)}$"):
        site.found().lookup("model", name)


def test_an_unknown_component_mentions_plugins_that_failed(site: Any) -> None:
    site.add("bad", "raise SystemExit")
    with pytest.raises(vf.ConfigError) as caught:
        site.found().lookup("model", "net")
    assert str(caught.value) == (
        "unknown model 'net'; installed: none (plugins that failed to load: bad; see 'vf plugins list')"
    )
