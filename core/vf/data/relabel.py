"""Bring the labels of a data set into the class order of a model, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch
from torchvision import tv_tensors

from vf.data.follow import IGNORE, maps_of, select_rows
from vf.data.sample import Sample
from vf.errors import DataError, listed
from vf.protocols import Dataset


class Relabelled:
    """A data set whose labels are indices into another class list.

    Objects of other classes are left out; so are their pixels in maps of the image, which nobody knows then.
    """

    def __init__(self, dataset: Dataset, *, theirs: tuple[str, ...], ours: tuple[str, ...]) -> None:
        self._dataset = dataset
        self._map = torch.tensor([ours.index(name) if name in ours else -1 for name in theirs])

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        return attrs.evolve(sample, target=self._relabelled(sample.target))

    def id_of(self, index: int) -> str:
        """Id of a sample."""
        return id_of(self._dataset, index)

    def target(self, index: int, size: tuple[int, int]) -> dict[str, Any]:
        """Target of a sample that was decoded to ``size``."""
        return self._relabelled(target_of(self._dataset, index, size))

    def _relabelled(self, given: Mapping[str, Any]) -> dict[str, Any]:
        target = {**given, **{key: self._map_relabelled(value) for key, value in maps_of(given).items()}}
        if isinstance(given.get("semantic"), np.ndarray):  # of evaluation, where a map is no tensor
            target["semantic"] = self._map_relabelled(torch.from_numpy(given["semantic"])).numpy()
        if "labels" not in given:
            return target
        labels = target["labels"] = self._map[given["labels"]]
        if labels.ndim and (labels < 0).any():
            keep = labels >= 0
            target = {key: select_rows(value, keep, len(labels)) for key, value in target.items()}
        return target

    def _map_relabelled(self, given: torch.Tensor) -> tv_tensors.Mask:
        """Return a map [H,W]; what is beyond the class list, as stuff, is taken as unknown."""
        table = torch.full((max(IGNORE, len(self._map)) + 1,), IGNORE)
        table[: len(self._map)] = torch.where(self._map < 0, IGNORE, self._map)
        table[IGNORE] = IGNORE
        return tv_tensors.Mask(table[given.long()].to(given.dtype))


def id_of(dataset: Dataset, index: int) -> str:
    """Return the id of a sample; decodes its image where the data set cannot tell it otherwise."""
    own = getattr(dataset, "id_of", None)
    found: str = dataset[index].id if own is None else own(index)
    return found


def target_of(dataset: Dataset, index: int, size: tuple[int, int]) -> dict[str, Any]:
    """Return the target of a sample that was decoded to ``size``; decodes it again where the data set must."""
    own = getattr(dataset, "target", None)
    found: dict[str, Any] = dataset[index].target if own is None else own(index, size)
    return found


def relabel(dataset: Dataset, *, theirs: tuple[str, ...], ours: tuple[str, ...]) -> tuple[Dataset, str]:
    """Return the data set in the order of ``ours``, with a line for the user where classes differ.

    Raises:
        DataError: no class name is in both lists.
    """
    if theirs == ours or not theirs:  # images without labels name no class
        return dataset, ""
    common = [name for name in theirs if name in ours]
    if not common:
        raise DataError(
            f"the data's classes ({listed(theirs)}) and the model's ({listed(ours)}) have no name in common; "
            "test on data with the classes of the training"
        )
    unknown = [name for name in theirs if name not in ours]
    note = f"classes matched by name: {len(common)} of {len(theirs)}"
    if unknown:
        note += f"; objects of {listed(unknown)} are not counted: the model does not know them"
    return Relabelled(dataset, theirs=theirs, ours=ours), note
