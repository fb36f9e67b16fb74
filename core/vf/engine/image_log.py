"""Pictures of what the model says about a few validation images, at each evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from torchvision.transforms.v2 import functional as TF

from vf import pictures
from vf.engine.board import Board
from vf.engine.callbacks import Callback
from vf.engine.state import State
from vf.engine.undisturbed import undisturbed

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor

    from vf.data.sample import Batch

FOLDER = "predictions"
CELL = 400
"""Side in px of the square that a picture is scaled into."""


class ImageLog(Callback):
    """Draws labels at the left and predictions at the right of the first ``images`` validation images.

    Each evaluation writes a sheet into ``RUN/predictions``, as ``step_XXXXXXXX.jpg`` and for TensorBoard.

    Args:
        images: how many; fewer where the split has fewer.
        threshold: predictions with a score (0..1) below are not drawn.
    """

    name = "image_log"

    def __init__(self, *, images: int, threshold: float) -> None:
        self._images = images
        self._threshold = threshold
        self._board = Board(FOLDER)
        self._batches: list[Batch] = []

    def after_evaluate(self, state: State) -> None:
        """Predict, draw and write."""
        pairs = self._pairs(state)  # in every process: a model in shards runs in all of them or in none
        if not state.ranks.world.first:
            return
        sheet = pictures.grid(pairs, cell=CELL, columns=2)
        folder = state.folder / FOLDER
        folder.mkdir(exist_ok=True)
        sheet.save(folder / f"step_{state.step:08d}.jpg", quality=90)
        self._board.add_image("predictions", sheet, state)

    def _pairs(self, state: State) -> list[Picture]:
        """Draw (labels, predictions) of each image in a row."""
        drawn: list[Picture] = []
        with undisturbed(state.eval_model, state.precision.device):
            state.eval_model.eval()
            for batch in self._first_batches(state):
                with state.precision.autocast():
                    predictions = state.eval_model(batch.to(state.precision.device))
                rows = zip(_images(batch), batch.per_image(), predictions, strict=True)
                for image, target, prediction in islice(rows, self._images - len(drawn) // 2):
                    drawn += [self._draw(state, image, target), self._draw(state, image, prediction)]
        return drawn

    def _first_batches(self, state: State) -> list[Batch]:
        """Read the images once: no evaluation then waits for workers that start for a batch or two."""
        if not self._batches:
            assert state.eval_batches is not None
            count = 0
            for batch in state.eval_batches():
                self._batches.append(batch)
                count += len(batch)
                if count >= self._images:
                    break
        return self._batches

    def _draw(self, state: State, image: Tensor, labels: dict[str, Any]) -> Picture:
        info = state.info
        return pictures.draw(image, labels, info.classes, threshold=self._threshold, palette=info.palette)


def _images(batch: Batch) -> Iterator[Tensor]:
    """Yield uint8 [3,H,W] images in the frame of their targets: without padding, and as large as decoded."""
    rows = zip(batch.images, batch.sizes.tolist(), batch.original.tolist(), strict=True)
    for image, size, original in rows:
        yield TF.resize(image[:, : size[0], : size[1]], original, antialias=True)
