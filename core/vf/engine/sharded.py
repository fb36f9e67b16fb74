"""Tensors of which each process holds a part (``torch.distributed.tensor.DTensor``, under FSDP2).

They are told by their attributes: to import the class takes half a second, which most runs never need.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def whole(tensor: Tensor) -> Tensor:
    """Return the whole of a sharded tensor, which every process calls; others as they are."""
    gather: Any = getattr(tensor, "full_tensor", None)
    out: Tensor = tensor if gather is None else gather()
    return out


def local(tensor: Tensor) -> Tensor:
    """Return this process's part of a sharded tensor; others as they are."""
    part: Any = getattr(tensor, "to_local", None)
    out: Tensor = tensor if part is None else part()
    return out


def like(source: Tensor, own: Tensor) -> Tensor:
    """Return a whole tensor, which every process has, as ``own`` is held: sharded where that is."""
    mesh: Any = getattr(own, "device_mesh", None)
    if mesh is None:
        return source
    from torch.distributed.tensor import distribute_tensor

    placements: Any = own.placements  # type: ignore[attr-defined]
    return distribute_tensor(source.to(own.device, copy=True), mesh, placements, src_data_rank=None)
