"""Graphs that stand in the place of a network: they take batches as it does, whatever shapes they were made for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vf.errors import CheckpointError, ConfigError, SetupError
from vf.export.spec import IMAGES, SIZES, Spec

Named = dict[str, Tensor]


class Graph:
    """Callable like ``raw`` of a model (`vf.protocols.Model`).

    Args:
        spec: of the file.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def __call__(self, images: Tensor, sizes: Tensor) -> Named:
        """Run uint8 [B,3,H,W] with int64 [B,2]: padded to what the graph takes, and in parts where it takes less."""
        if images.dtype != torch.uint8:
            raise ConfigError("an exported graph takes whole pixels (uint8); leave out what mixes or resizes batches")
        parts = [self._run(*part) for part in self._parts(self._padded(images), sizes)]
        joined = parts[0] if len(parts) == 1 else {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        return {name: value[: len(images)].to(images.device) for name, value in joined.items()}

    def _padded(self, images: Tensor) -> Tensor:
        size = int(images.shape[-2]), int(images.shape[-1])
        goal = self.spec.frame.of(size)
        missing = goal[1] - size[1], goal[0] - size[0]
        too_high, too_wide = (
            side.most is not None and length > side.most
            for side, length in zip((self.spec.frame.height, self.spec.frame.width), size, strict=True)
        )
        if too_high or too_wide:
            raise ConfigError(
                f"the exported graph takes images of up to {self.spec.frame.height.most or 'any'}×"
                f"{self.spec.frame.width.most or 'any'} px (height × width), got {size[0]}×{size[1]}; export it anew "
                "with the size that the model has now"
            )
        sides = self.spec.frame.height, self.spec.frame.width
        if any(side.padded(length) < side.shortest for side, length in zip(sides, size, strict=True)):
            raise ConfigError(
                f"the exported graph takes images from {sides[0].shortest}×{sides[1].shortest} px (height × width) on, "
                f"got {size[0]}×{size[1]}; export with --size H W for such small ones"
            )
        return F.pad(images, (0, missing[0], 0, missing[1]), value=self.spec.pad_value) if any(missing) else images

    def _parts(self, images: Tensor, sizes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield as many images as the graph takes; the last ones are filled up with copies of the first."""
        count = self.spec.batch
        if count is None:
            yield images, sizes
            return
        for start in range(0, len(images), count):
            part, own = images[start : start + count], sizes[start : start + count]
            short = count - len(part)
            if short:
                part, own = (torch.cat((t, t[:1].expand(short, *t.shape[1:]))) for t in (part, own))
            yield part, own

    def _run(self, images: Tensor, sizes: Tensor) -> Named:
        raise NotImplementedError


class TorchGraph(Graph):
    """A graph of torch's own that this process made.

    Args:
        module: takes images and sizes.
        spec: of the file.
    """

    def __init__(self, module: Callable[[Tensor, Tensor], Named], spec: Spec) -> None:
        super().__init__(spec)
        self._module = module

    @torch.no_grad()
    def _run(self, images: Tensor, sizes: Tensor) -> Named:
        return self._module(images.cpu(), sizes.cpu())


class OnnxGraph(Graph):
    """A file of ONNX in onnxruntime.

    Args:
        path: file that ``vf run export`` wrote.
        device: where it runs; a GPU needs onnxruntime-gpu.

    Raises:
        SetupError: onnxruntime is missing, or has no GPU.
        CheckpointError: the file is missing, broken, or of another program.
    """

    def __init__(self, path: Path, device: torch.device | None = None) -> None:
        self._session = _session(path, device or torch.device("cpu"))
        super().__init__(Spec.read(self._session.get_modelmeta().custom_metadata_map, str(path)))
        self._inputs = [value.name for value in self._session.get_inputs()]

    def _run(self, images: Tensor, sizes: Tensor) -> Named:
        given = {IMAGES: images, SIZES: sizes}
        feed = {name: np.ascontiguousarray(given[name].cpu().numpy()) for name in self._inputs}
        values = self._session.run(list(self.spec.outputs), feed)
        return {name: torch.from_numpy(value) for name, value in zip(self.spec.outputs, values, strict=True)}


def providers() -> list[str]:
    """Return what onnxruntime can run on, by its names; nothing where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return []
    return list(onnxruntime.get_available_providers())


def _session(path: Path, device: torch.device) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise SetupError(f"{path}: onnxruntime is not installed; pip install 'vf-core[export]'") from None
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    provider: Any = "CPUExecutionProvider"
    if device.type == "cuda":
        if "CUDAExecutionProvider" not in providers():
            raise SetupError(f"{path}: this onnxruntime sees no GPU; pip install onnxruntime-gpu, or add --device cpu")
        provider = ("CUDAExecutionProvider", {"device_id": device.index or 0})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors are raised; what is below is about its own optimisations
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[provider])
    except Exception as error:  # of its own, one class for each status
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a graph that onnxruntime runs: {said[:160]}") from None
