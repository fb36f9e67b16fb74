"""Config class of data sets whose pixels are decoded once and kept. Free of torch and numpy until it is built."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vf.preflight import NEAR, amount
from vf.protocols import DatasetConfig, DatasetInfo, Finding, Split
from vf.schema import config, field
from vf.wrapper_configs import Wrapper, build_as

if TYPE_CHECKING:
    from vf.protocols import Dataset


@config
class Decoded(Wrapper):
    """Decode each image once, and keep its pixels and maps in files: for large PNG, which take longer than all else.

    A file is made when a sample is first asked for, and read from then on, by all trainings on the same data; a
    transform that cuts reads what it cuts alone. Three bytes for a pixel, and one for each map. Remove the folder to
    be rid of it. An image whose file keeps its size in bytes is taken for the same.
    """

    of: DatasetConfig = field(help="the data set whose pixels are kept")
    folder: str = field(help="where they are kept: a fast disk with room, or /dev/shm")
    splits: tuple[Literal["train", "val", "test"], ...] = field(default=("train",), help="of which they are kept")

    @property
    def signature(self) -> str:
        """Nothing: samples are what they were."""
        return ""

    def info(self) -> DatasetInfo:
        """Facts of the data set itself."""
        return self.of.info()

    def build_as(self, split: Split, *, evaluation: bool) -> Dataset:
        """Build one split."""
        dataset = build_as(self.of, split, evaluation=evaluation)
        if split not in self.splits:
            return dataset
        from vf.data.decoded import Decoded as Dataset_

        # Targets of evaluation are of another kind, and the same image may be in both.
        kind = "evaluation" if evaluation else "training"
        return Dataset_(dataset, Path(self.folder) / self.of.info().fingerprint / kind)

    def check(self) -> Sequence[Finding]:
        """What there is to find in the data set, and whether there is room."""
        found = list(self.of.check())
        place = Path(self.folder)
        while not place.is_dir():
            place = place.parent
        need = self._need()
        have = sum(file.stat().st_size for file in Path(self.folder).rglob("*.pixels"))
        free = shutil.disk_usage(place).free
        line = f"{self.folder}: the decoded pixels take {amount(need)}, {amount(have)} are there, {amount(free)} free"
        if max(0, need - have) > NEAR * free:
            return [*found, Finding("error", f"{line}; make room, or name another place with data.folder")]
        return [*found, Finding("note", line)]

    def _need(self) -> int:
        import numpy as np

        from vf.data.decoded import kept
        from vf.data.wrappers import fact

        info, need = self.info(), 0
        for split in (s for s in self.splits if info.num_samples.get(s)):
            dataset: Any = build_as(self.of, split, evaluation=split != "train")
            need += kept(np.asarray(fact(dataset, "sizes")()))
        return need
