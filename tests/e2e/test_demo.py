"""``vf demo`` as typed: it says where it is, answers, and ends with Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch

from vf.engine.checkpoint import save_weights
from vf.recipes import resolve


def test_it_answers_until_it_is_interrupted(tmp_path: Path) -> None:
    pytest.importorskip("vf_cls")
    resolved = resolve("cls/quickstart", overrides=("data.size=32",))
    torch.manual_seed(0)
    info = resolved.recipe.data.info()
    weights = tmp_path / "model.safetensors"
    save_weights(resolved.recipe.model.build(info), weights, recipe=resolved.yaml(), info=info)
    command = [sys.executable, "-m", "vf_cli", "demo", str(weights), "--port", "0", "--device", "cpu"]
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
        stack.callback(process.kill)  # of one that does not end: nobody waits for it
        assert process.stdout
        said = process.stdout.readline()
        found = re.fullmatch(r"demo  (http://127\.0\.0\.1:\d+/)  \(Ctrl-C ends it\)\n", said)
        assert found
        with urllib.request.urlopen(found[1], timeout=20) as answer:
            assert b"<h1>model.safetensors</h1>" in answer.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "ended\n", "")
