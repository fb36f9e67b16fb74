"""What a run or a report was made on: versions, device, processes."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

import cv2
import numpy
import torch
import torchvision

from vf import __version__
from vf.plugins import plugins
from vf.world import ALONE, World


def surroundings(device: torch.device, world: World = ALONE) -> dict[str, Any]:
    """Return plain data: ``time`` (seconds since 1970), versions of vf, its libraries and plugins, the machine.

    Args:
        device: that is computed on.
        world: the processes.
    """
    facts: dict[str, Any] = {
        "time": round(time.time(), 3),
        "vf": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "plugins": {plugin.dist: plugin.version for plugin in plugins().found if plugin.dist and not plugin.problem},
        "system": platform.platform(),
        "device": name_of(device),
        "processes": world.size,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if device.type == "cuda":
        facts["cuda"] = torch.version.cuda
        facts["device_memory"] = torch.cuda.get_device_properties(device).total_memory
    return facts


def name_of(device: torch.device) -> str:
    """Return a device for people: ``cpu``, or the name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
