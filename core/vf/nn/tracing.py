"""Whether what runs is being written down as a graph, in which nothing may depend on values."""

from __future__ import annotations

import torch


def tracing() -> bool:
    """Whether torch.export or torch.jit.trace looks on."""
    return bool(torch.compiler.is_exporting() or torch.jit.is_tracing())  # type: ignore[attr-defined]
