"""Which heights and widths the images of a network may have: what an exported graph has to know."""

from __future__ import annotations

import attrs

from vf.errors import ConfigError


@attrs.frozen(kw_only=True)
class Side:
    """Height or width, px."""

    least: int
    most: int | None = None
    """None: there is no limit."""
    step: int = 1
    """Sides are multiples of it; what is shorter is padded."""
    shortest: int = 1
    """What is padded to less than this has no place in a graph with open sides."""

    @property
    def fixed(self) -> bool:
        """Whether there is one length."""
        return self.least == self.most

    def of(self, length: int) -> int:
        """Return what an image side of ``length`` px is padded to."""
        return max(self.least, self.padded(length))

    def padded(self, length: int) -> int:
        """Return the multiple of the step that an image side of ``length`` px is padded to."""
        return -(-length // self.step) * self.step


@attrs.frozen
class Frame:
    """Height and width together."""

    height: Side
    width: Side

    @classmethod
    def one(cls, size: tuple[int, int]) -> Frame:
        """Return the frame of images that all have one size."""
        return cls(*(Side(least=side, most=side) for side in size))

    @property
    def size(self) -> tuple[int, int] | None:
        """The one height and width that there are; None: there are several."""
        return (self.height.least, self.width.least) if self.height.fixed and self.width.fixed else None

    def of(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the height and width that an image of ``size`` is padded to."""
        return self.height.of(size[0]), self.width.of(size[1])


def within(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest height and width of the ratio of ``size`` that lie in ``box``, rounded down to whole px."""
    high = box[0] * size[1] <= box[1] * size[0]  # whole numbers: the quotient of two floats may miss one
    goal, side = (box[0], size[0]) if high else (box[1], size[1])
    return max(1, size[0] * goal // side), max(1, size[1] * goal // side)


def refuse_other(size: tuple[int, int], frame: Frame, *, multiple: int = 1) -> None:
    """Raise ConfigError where images of ``size`` do not go into a network of this frame."""
    if frame.size is not None and frame.size != size:
        raise ConfigError(
            f"--size {size[0]} {size[1]}: this network takes images of {frame.size[0]}×{frame.size[1]} px (height × "
            "width), a key of the model: change it with --set (see 'vf config show'), or leave --size out"
        )
    if size[0] % multiple or size[1] % multiple:
        raise ConfigError(f"--size {size[0]} {size[1]}: expected multiples of {multiple} px for this network")
