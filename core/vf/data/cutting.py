"""Cut a data set into parts: by a hash of names and a seed, whole groups together, and classes evenly where asked."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vf.errors import ConfigError


def groups_of(names: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each name: what the first bracket of a regular expression matches in it, or all of the match.

    Args:
        names: of images.
        pattern: empty: each is its own group.

    Raises:
        ConfigError: it is no regular expression, or does not match a name.
    """
    if not pattern:
        return list(names)
    try:
        rule = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--group-by {pattern}: is no regular expression: {error}") from None
    found = []
    for name in names:
        match = rule.search(name)
        if match is None:
            raise ConfigError(f"--group-by {pattern}: matches nothing in the image name {name!r}")
        found.append(match[1] if rule.groups and match[1] is not None else match[0])
    return found


def cut(
    groups: Sequence[str],
    fractions: Sequence[float],
    *,
    seed: int,
    classes: Sequence[NDArray[np.int64]] | None = None,
) -> list[list[int]]:
    """Return the places of the images of each part, rising.

    The order of the images is of no matter: groups are ranked by a hash of their name and the seed. With ``classes``,
    it is iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011): the images of the rarest class are handed out
    first, each group to the part that lacks most of that class.

    Args:
        groups: [N] group of each image; those of one go to one part.
        fractions: of the images, positive, of the parts; they are scaled to a sum of 1.
        seed: other seeds give other parts.
        classes: [N] class indices of each image's objects.
    """
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    ranked = sorted(members, key=lambda g: hashlib.sha256(f"{seed} {g}".encode()).digest())
    sizes = np.array([len(members[group]) for group in ranked], np.float64)
    shares = np.asarray(fractions, np.float64) / sum(fractions)
    presence = _presence([members[group] for group in ranked], classes)
    owner = _hand_out(sizes, presence, shares)
    return [
        sorted(place for group, own in zip(ranked, owner, strict=True) if own == part for place in members[group])
        for part in range(len(shares))
    ]


def _presence(units: Sequence[Sequence[int]], classes: Sequence[NDArray[np.int64]] | None) -> NDArray[np.float64]:
    """[G,C] how many images of each group have each class."""
    if classes is None:
        return np.zeros((len(units), 0))
    count = 1 + max((int(own.max()) for own in classes if len(own)), default=-1)
    table = np.zeros((len(units), count))
    for unit, places in enumerate(units):
        for place in places:
            table[unit, np.unique(classes[place])] += 1
    return table


def _hand_out(sizes: NDArray[np.float64], presence: NDArray[np.float64], shares: NDArray[np.float64]) -> list[int]:
    """Return the part of each group, in the order of the groups."""
    lack = np.outer(shares, presence.sum(0))  # [parts, classes] images that are still wanted
    room = shares * sizes.sum()  # [parts]
    left, owner = presence.sum(0), np.full(len(sizes), -1)

    def give(unit: int, part: int) -> None:
        owner[unit] = part
        lack[part] -= presence[unit]
        room[part] -= sizes[unit]
        left[:] -= presence[unit]

    while left.size and left.max() > 0:
        rarest = int(np.where(left > 0, left, np.inf).argmin())
        units = np.flatnonzero((owner < 0) & (presence[:, rarest] > 0))
        for unit in units.tolist():
            # Ties of the class are broken by the room that is left, then by the order of the parts.
            give(unit, max(range(len(shares)), key=lambda p: (round(lack[p, rarest], 6), round(room[p], 6), -p)))
        left[rarest] = 0
    for unit in np.flatnonzero(owner < 0).tolist():
        give(unit, max(range(len(shares)), key=lambda p: (round(room[p], 6), -p)))
    result: list[int] = owner.tolist()
    return result
