"""What a test writes beside its numbers: a file of predictions, the files of the data set's server, pictures."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import attrs

from vf.data.sample import Batch
from vf.engine.ranks import Ranks
from vf.errors import DataError, RunError, VFError
from vf.launch import Measurement
from vf.numbers_file import check_numbers
from vf.prediction_files import Part, check_name, merged, open_saved, parts_of, write
from vf.predictions import Head, Restore, joined_keys
from vf.protocols import Dataset, DatasetInfo, Predicted, Results
from vf.shown import Shown, prepare

if TYPE_CHECKING:
    from torch import Tensor

    from vf.explained import Explain
    from vf.protocols import Prediction


@attrs.frozen(kw_only=True)
class Tested:
    """What is measured: a model on a split."""

    dataset: Dataset
    """With labels in the model's order."""
    labelled: bool
    info: DatasetInfo
    """Of the model."""
    data: DatasetInfo
    split: str
    recipe: str
    model: str
    """Where the weights lie, for people."""
    results: Results | None
    """Of the data set."""

    @property
    def restore(self) -> Restore:
        """What makes plain data of a file a prediction."""
        return self.results.restore if self.results is not None else lambda prediction, size: prediction


def check(asked: Measurement, results: Results | None) -> None:
    """Refuse what could not be written in the end, before a model runs.

    Raises:
        RunError: a name or folder is not right.
        DataError: the data set has no form of its own.
        SetupError: something is not installed, or there is no display.
    """
    if asked.out and asked.out_item == "metrics":
        check_numbers(asked.out)
    elif asked.out:
        check_name(asked.out, "--out")
    if asked.out_prefix and results is None:
        raise DataError(f"--out-prefix {asked.out_prefix}: the data set has no files of its own; use --out FILE")
    prepare(asked)


class Outputs:
    """A context that takes predictions image by image, in every process; rank 0 writes at the end.

    Memory stays bounded: each process keeps what it saw in a file beside the one that is asked for.

    Args:
        asked: what to write.
        tested: what is measured.
        ranks: the processes.
        explain: what of each image of a batch speaks for the answer, to be drawn too.
    """

    def __init__(self, asked: Measurement, tested: Tested, ranks: Ranks, *, explain: Explain | None = None) -> None:
        self._asked, self._tested, self._ranks, self._explain = asked, tested, ranks, explain
        self._keeps = bool(asked.out) and asked.out_item == "pred"
        self._folder: Path | None = None
        self._part: Part | None = None
        self._shown = Shown(asked, tested.dataset, tested.info, labelled=tested.labelled)

    def __enter__(self) -> Outputs:
        if self._keeps or self._asked.out_prefix:
            self._folder = Path(self._ranks.from_first(self._make_folder))
            self._part = Part(parts_of(self._folder, self._ranks.world.size)[self._ranks.world.rank])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._part is not None:
            self._part.close()
        if self._folder is not None and self._ranks.world.first:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _make_folder(self) -> str:
        beside = Path(self._asked.out or self._asked.out_prefix).parent
        try:
            beside.mkdir(parents=True, exist_ok=True)
            return tempfile.mkdtemp(prefix=".vf-test-", dir=beside)
        except OSError as error:
            raise RunError(f"{beside}: cannot write there: {error.strerror}") from None

    def see(self, batch: Batch, predictions: Sequence[Prediction]) -> None:
        """Take what a model said of a batch."""
        ids = batch.targets.get("image_id", (None,) * len(batch))
        sizes = batch.original.tolist()
        heats: Sequence[Tensor | None] = (None,) * len(batch)
        if self._explain is not None and any(map(self._shown.wants, batch.places)):
            heats = self._explain(batch)
        for place, id_, size, image_id, prediction, heat in zip(
            batch.places, batch.ids, sizes, ids, predictions, heats, strict=True
        ):
            size = (size[0], size[1])
            self.take(place, Predicted(id=id_, size=size, prediction=prediction, image_id=image_id), heat)

    def take(self, place: int, predicted: Predicted, heat: Tensor | None = None) -> None:
        """Take the prediction of the image at ``place`` of the split, and what of it speaks for it [H,W]."""
        if self._part is not None:
            self._part.add(place, predicted)
        self._shown.take(place, predicted, heat)

    def finish(self) -> list[str]:
        """Write everything, in order; return what to say. Every process calls it."""
        lines: list[str] = []
        if self._part is not None:
            self._part.close()
            seen = self._ranks.gather((self._part.keys, self._part.count))
            keys, count = joined_keys([keys for keys, _ in seen]), sum(count for _, count in seen)
            head = Head(
                info=self._tested.info,
                split=self._tested.split,
                images=count,
                recipe=self._tested.recipe,
                model=self._tested.model,
                keys=keys,
            )
            lines += self._ranks.from_first(lambda: self._write(head))
        drawn = sum(self._ranks.gather(self._shown.count))
        if self._asked.show_dir:
            lines.append(f"wrote {self._asked.show_dir}: {drawn} pictures")
        return lines

    def _write(self, head: Head) -> list[str]:
        asked, lines = self._asked, []
        if self._keeps:
            write(Path(asked.out), head, self._lines())
            lines.append(f"wrote {asked.out}: predictions of {head.images} images")
        if asked.out_prefix:
            lines += [f"wrote {name}" for name in self._write_results(head)]
        return lines

    def _lines(self) -> Iterator[str]:
        assert self._folder is not None
        return merged(parts_of(self._folder, self._ranks.world.size))

    def _write_results(self, head: Head) -> Sequence[str]:
        results, asked = self._tested.results, self._asked
        assert results is not None
        kept = Path(asked.out if self._keeps else f"{asked.out_prefix}.predictions.json")
        if not self._keeps:
            write(kept, head, self._lines())
        info = attrs.evolve(head.info, category_ids=ids_of(head.info, self._tested.data))
        try:
            written = results.write(open_saved(str(kept)).read(self._tested.restore), asked.out_prefix, info)
        except VFError as error:
            kind, cure = type(error), f"what was predicted is in {kept}: vf run test --predictions {kept}"
            raise kind(*error.problems, cure) from None
        if not self._keeps:
            kept.unlink()
        return written


def ids_of(model: DatasetInfo, data: DatasetInfo) -> tuple[int, ...]:
    """Return the data's id of each class and stuff of the model, -1 where they do not know it; () if they have none."""
    names = data.classes + data.stuff
    if not data.category_ids or len(names) != len(data.category_ids):
        return ()
    ids: dict[str, Any] = dict(zip(names, data.category_ids, strict=True))
    return tuple(ids.get(name, -1) for name in model.classes + model.stuff)
