"""Whether a net takes images of a size: tried without data, before a training begins."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from vf.errors import ConfigError


def refuse_size(arch: str, net: nn.Module, size: tuple[int, int]) -> None:
    """Run a net on nothing but shapes.

    Raises:
        ConfigError: it does not take images of this height and width.
    """
    meta = {name: tensor.to("meta") for name, tensor in (*net.named_parameters(), *net.named_buffers())}
    training = net.training
    try:
        with torch.no_grad():
            functional_call(net.eval(), meta, (torch.empty(1, 3, *size, device="meta"),))
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"model.input.size: {arch} does not take images of {size[0]}×{size[1]} px (height × width): "
            f"{' '.join(str(error).split())[:160]}; choose another size"
        ) from None
    finally:
        net.train(training)
