"""Private randomness: what happens to a sample depends on (seed, epoch, index) and on nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def mix(*numbers: int) -> int:
    """Hash integers into one seed of 63 bits; near inputs give unrelated seeds."""
    digest = hashlib.blake2b(",".join(map(str, numbers)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@contextlib.contextmanager
def seeded(*numbers: int) -> Iterator[None]:
    """Seed torch's CPU generator, ``random`` and numpy inside the block, and put them back afterwards.

    Transforms of torchvision and of third parties draw from these global generators, so seeding them is what
    makes any transform a pure function of the numbers.
    """
    seed = mix(*numbers)
    generator = torch.default_generator
    before = generator.get_state(), random.getstate(), np.random.get_state()
    generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    try:
        yield
    finally:
        generator.set_state(before[0])
        random.setstate(before[1])
        np.random.set_state(before[2])


def seed_everything(seed: int) -> None:
    """Seed every global generator of this process, for building weights."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
