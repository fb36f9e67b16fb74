"""Endless orders of a data set: which sample stands at which position, as a pure function of the position.

An order is called with a position (0, 1, …) and returns the epoch that the sample's augmentation is drawn for, and
the sample's index. No pair comes twice, so that no two draws look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from vf.data.seeding import mix

Order = Callable[[int], tuple[int, int]]
KEEP = 4
"""Permutations that are kept: a batch may span two epochs, a window a few."""


class Permutations:
    """Permutations of 0..count-1, the one of ``number`` drawn from (seed, number)."""

    def __init__(self, count: int, *seed: int) -> None:
        self._count = count
        self._seed = seed
        self._made: dict[int, list[int]] = {}

    def __getitem__(self, number: int) -> list[int]:
        if number not in self._made:
            generator = torch.Generator().manual_seed(mix(*self._seed, number))
            while len(self._made) >= KEEP:
                del self._made[next(iter(self._made))]
            self._made[number] = torch.randperm(self._count, generator=generator).tolist()
        return self._made[number]


class Shuffled:
    """One permutation of the samples after another: each sample once in each epoch."""

    def __init__(self, num_samples: int, *, seed: int) -> None:
        self._num_samples = num_samples
        self._orders = Permutations(num_samples, seed)

    def __call__(self, position: int) -> tuple[int, int]:
        """Return epoch and index."""
        epoch, place = divmod(position, self._num_samples)
        return epoch, self._orders[epoch][place]


class Repeated:
    """The shuffled order with each sample several times in a row, augmented anew each time (arXiv 1902.05509).

    An epoch is as long as before: with 3 times, a third of the samples come in it, drawn anew for each epoch.

    Args:
        num_samples: of the data set.
        times: how often a sample comes in a row; at the end of an epoch, what is left.
        seed: of the training.
    """

    def __init__(self, num_samples: int, *, times: int, seed: int) -> None:
        self._num_samples = num_samples
        self._times = times
        self._orders = Permutations(num_samples, seed)

    def __call__(self, position: int) -> tuple[int, int]:
        """Return a number that is another one for each copy and each epoch, and index."""
        epoch, place = divmod(position, self._num_samples)
        which, copy = divmod(place, self._times)
        return epoch * self._times + copy, self._orders[epoch][which]


class AspectRatio:
    """The shuffled order, with batches of images of alike shape: less padding, and pads of one orientation.

    The shuffled order is cut into windows of so many whole batches. The samples of a window are sorted by height
    / width, cut into batches, and these batches are shuffled. So every sample still comes once in each epoch, and
    at most one batch of a window holds both portrait and landscape images.

    Args:
        sizes: [N,2] height and width of each sample; only their ratio counts.
        batch_size: global.
        window: in batches.
        seed: of the training.
    """

    def __init__(self, sizes: Tensor, *, batch_size: int, window: int, seed: int) -> None:
        self._base = Shuffled(len(sizes), seed=seed)
        self._ratios = (sizes[:, 0].double() / sizes[:, 1]).tolist()
        self._batch_size = batch_size
        self._window = window
        self._batches = Permutations(window, seed, 1)
        self._last: tuple[int, list[tuple[int, int]]] = (-1, [])

    def __call__(self, position: int) -> tuple[int, int]:
        """Return epoch and index."""
        number, place = divmod(position, self._window * self._batch_size)
        if self._last[0] != number:
            self._last = number, self._sorted(number)
        return self._last[1][place]

    def _sorted(self, number: int) -> list[tuple[int, int]]:
        size = self._batch_size
        first = number * self._window * size
        draws = [self._base(position) for position in range(first, first + self._window * size)]
        draws.sort(key=lambda draw: self._ratios[draw[1]])  # stable: equal ratios stay shuffled
        return [draws[batch * size + place] for batch in self._batches[number] for place in range(size)]


class ClassAware:
    """Every class as often as any other: round after round through the classes, one image with each.

    The images of a class come in permutations, one after another. Images without objects are never drawn; those of
    rare classes come often (arXiv 1512.05830, section 3.3).

    Args:
        classes: the images of each class, as indices; a class without any is left out.
        seed: of the training.
    """

    def __init__(self, classes: Sequence[Sequence[int]], *, seed: int) -> None:
        self._images = [list(images) for images in classes if len(images)]
        self._rounds = Permutations(len(self._images), seed, 2)
        self._within = [Permutations(len(images), seed, 3, k) for k, images in enumerate(self._images)]

    def __call__(self, position: int) -> tuple[int, int]:
        """Return the position itself, because an image may come many times in what would be an epoch, and index."""
        turn, place = divmod(position, len(self._images))
        chosen = self._rounds[turn][place]
        number, nth = divmod(turn, len(self._images[chosen]))
        return position, self._images[chosen][self._within[chosen][number][nth]]
