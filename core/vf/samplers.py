"""What ``loader.sampler`` chooses from: the order in which a training sees its samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from vf.errors import ConfigError, DataError
from vf.schema import config, field, positive

if TYPE_CHECKING:
    from vf.data.orders import Order
    from vf.protocols import Dataset


@config
class Sampler:
    """What ``loader.sampler`` chooses from by ``name``."""

    noun: ClassVar = "sampler"

    @staticmethod
    def choices() -> Mapping[str, type[Any]]:
        """Name -> config class."""
        return {"shuffle": Shuffle, "aspect_ratio": AspectRatio, "class_aware": ClassAware, "repeated": Repeated}

    def build(self, dataset: Dataset, *, batch_size: int, seed: int) -> Order:
        """Make the order for a data set; images are not decoded.

        Raises:
            VFError: the data set does not tell what the order needs.
        """
        raise NotImplementedError


@config
class Shuffle(Sampler):
    """Every sample once in each epoch, in an order drawn anew."""

    def build(self, dataset: Dataset, *, batch_size: int, seed: int) -> Order:
        from vf.data.orders import Shuffled

        return Shuffled(len(dataset), seed=seed)


@config
class AspectRatio(Sampler):
    """Like shuffle, with images of alike height / width in one batch: less padding."""

    window: int = field(
        default=64,
        help="so many batches of the shuffled order are sorted together; more: purer batches",
        unit="batches",
        validator=positive(),
    )

    def build(self, dataset: Dataset, *, batch_size: int, seed: int) -> Order:
        import torch

        from vf.data.orders import AspectRatio as Order_

        sizes = _fact(dataset, "sizes", "aspect_ratio", "the sizes of its images")()
        return Order_(torch.as_tensor(sizes), batch_size=batch_size, window=self.window, seed=seed)


@config
class ClassAware(Sampler):
    """Every class as often as any other, whatever the data hold of it; an epoch is so many draws as samples."""

    def build(self, dataset: Dataset, *, batch_size: int, seed: int) -> Order:
        from vf.data.orders import ClassAware as Order_

        labels_of = _fact(dataset, "labels_of", "class_aware", "the labels of its images")
        images: dict[int, list[int]] = {}
        for index in range(len(dataset)):
            for label in sorted({int(label) for label in labels_of(index)}):
                images.setdefault(label, []).append(index)
        if not images:
            raise DataError("loader.sampler: class_aware: the training data have no object; expected at least one")
        return Order_([images[label] for label in sorted(images)], seed=seed)


@config
class Repeated(Sampler):
    """Each sample several times in a row, augmented anew (repeated augmentation); an epoch is as long as before."""

    times: int = field(default=3, help="how often a sample comes in a row", validator=positive())

    def build(self, dataset: Dataset, *, batch_size: int, seed: int) -> Order:
        from vf.data.orders import Repeated as Order_

        return Order_(len(dataset), times=self.times, seed=seed)


def _fact(dataset: Dataset, method: str, name: str, what: str) -> Any:
    fact = getattr(dataset, method, None)
    if fact is None:
        raise ConfigError(
            f"loader.sampler: {name} needs {what}, which {type(dataset).__name__} does not tell without decoding "
            f"them (it has no method {method}); take another sampler"
        )
    return fact
