"""The quick commands do not import what is slow."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "numpy", "cv2", "pycocotools", "tensorboard", "rich.progress")
PROGRAM = """
import sys
from vf_cli.main import main
sys.argv = ["vf", *sys.argv[1:]]
try:
    main()
except SystemExit as ended:
    assert ended.code == 0, ended.code
print("imported:", *sorted(set(HEAVY) & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "command",
    [
        "--help",
        "--version",
        "run train --help",
        "list",
        "plugins list",
        "explain train",
        "explain model yolox",
        "data check --help",
        "data convert --help",
        "data browse --help",
        "data split --help",
        "data download coco2017 --dry-run",
        "runs list",
        "config check det/quickstart",
        "config show det/quickstart",
    ],
)
def test_a_quick_command_stays_free_of_what_is_slow(command: str) -> None:
    program = PROGRAM.replace("HEAVY", repr(HEAVY))
    done = subprocess.run(
        [sys.executable, "-c", program, *command.split()], capture_output=True, text=True, check=False
    )
    assert done.stderr == "imported:\n"
    assert done.stdout
