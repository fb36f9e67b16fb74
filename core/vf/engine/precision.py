"""Device and number formats of a training."""

from __future__ import annotations

import contextlib
import os
from contextlib import AbstractContextManager

import attrs
import torch

from vf.errors import SetupError


def set_numerics(*, tf32: bool, deterministic: bool) -> None:
    """Choose how float32 products of a GPU are computed, and whether every algorithm gives the same bits each time."""
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(deterministic)
    torch.backends.cudnn.benchmark = not deterministic


def pick_device(wanted: str, *, local_rank: int = 0) -> torch.device:
    """Return the device for ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; each process of a node takes its own."""
    if wanted in ("auto", "cuda") and torch.cuda.is_available():
        # Where a launcher shows each process its own GPU only, that one is number 0.
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return device
    if wanted == "auto":
        return torch.device("cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError:
        raise SetupError(f"train.device: expected auto, cpu, cuda or cuda:N, got {wanted!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SetupError(f"train.device: {wanted!r} asked for, but torch sees no GPU; use --device cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise SetupError(f"train.device: {wanted!r} asked for, but torch sees {torch.cuda.device_count()} GPU(s)")
    return device


@attrs.frozen
class Precision:
    """How the forward pass computes and how gradients are scaled."""

    device: torch.device
    dtype: torch.dtype | None
    """None: float32 throughout."""
    scaler: torch.amp.GradScaler

    @property
    def name(self) -> str:
        """``fp32``, ``bf16`` or ``fp16``."""
        return {None: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[self.dtype]

    def autocast(self) -> AbstractContextManager[object]:
        """Context of a forward pass."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)


def make_precision(wanted: str, device: torch.device) -> Precision:
    """Resolve ``auto`` (bf16 or fp16 where a GPU has it, else fp32) and make the gradient scaler for fp16."""
    if wanted == "auto":
        wanted = "fp32"
        if device.type == "cuda":
            wanted = "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    if wanted == "fp16" and device.type == "cpu":
        raise SetupError("train.precision: fp16 needs a GPU; use bf16 or fp32 on the CPU")
    dtype = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
    return Precision(device, dtype, torch.amp.GradScaler(device.type, enabled=wanted == "fp16"))
