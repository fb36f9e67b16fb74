"""Which class is taken for which: numbers, and a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Image as Picture

from vf_cls.metrics.pairs import Pairs
from vf_cls.metrics.seen import mean, ratio

SIDE = 1200
"""Most px of the matrix; cells of many classes are a pixel at least."""
CELL = 64
"""Most px of a cell."""
NUMBERS_FROM = 26
"""Px of a cell from which on its count is written into it."""
NAMES_FROM = 9
"""Px of a cell from which on classes are named."""
PAPER, INK, BLUE = (255, 255, 255), (30, 30, 30), (12, 68, 140)


class ConfusionMatrix(Pairs):
    """Counts pairs of classes.

    Args:
        classes: names by class index.
        rows: most mistakes in the table.
    """

    def __init__(self, *, classes: Sequence[str], rows: int = 20) -> None:
        super().__init__(classes)
        self._rows = rows

    def compute(self) -> dict[str, float | None]:
        """Return the part of the images that are taken for another class, and the mean of the classes' recalls."""
        total = float(self.matrix.sum())
        wrong = ratio(total - float(np.trace(self.matrix)), total)
        recalls = [ratio(float(row[index]), float(row.sum())) for index, row in enumerate(self.matrix)]
        return {"error": wrong, "class_accuracy": mean(recalls)}

    def table(self) -> Sequence[tuple[str, float | None]]:
        """The most frequent mistakes, as counts: what is there → what was said."""
        matrix = self.matrix.copy()
        np.fill_diagonal(matrix, 0)
        order = np.argsort(-matrix, axis=None, kind="stable")[: self._rows]
        cells = [divmod(int(place), len(self._classes)) for place in order]
        return [
            (f"{self._classes[there]} → {self._classes[said]}", float(matrix[there, said]))
            for there, said in cells
            if matrix[there, said]
        ]

    def picture(self) -> Picture:
        """Draw it: a row for each class that is there, a column for each that was said; darker: more of the row."""
        count = len(self._classes)
        cell = max(1, min(CELL, SIDE // count))
        font = ImageFont.load_default(max(8.0, min(14.0, cell * 0.45)))
        named = cell >= NAMES_FROM
        margin = 8 + (max(round(font.getlength(name)) for name in self._classes) + 8 if named else 0)
        side = margin + count * cell + 8
        sheet = Image.new("RGB", (side, side), PAPER)
        canvas = ImageDraw.Draw(sheet)
        shares = self.matrix / np.maximum(1, self.matrix.sum(1, keepdims=True))
        paper, ink = np.array(PAPER, np.float64), np.array(BLUE, np.float64)
        pixels = (paper + (ink - paper) * shares[..., None]).round().astype(np.uint8)
        tiles = Image.fromarray(pixels).resize((count * cell, count * cell), Image.Resampling.NEAREST)
        sheet.paste(tiles, (margin, margin))
        if named:
            self._write_names(sheet, canvas, margin, cell, font)
        if cell >= NUMBERS_FROM:
            self._write_counts(canvas, margin, cell, font, shares)
        return sheet

    def _write_names(
        self,
        sheet: Picture,
        canvas: ImageDraw.ImageDraw,
        margin: int,
        cell: int,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ) -> None:
        for index, name in enumerate(self._classes):
            middle = margin + index * cell + cell / 2
            canvas.text((margin - 6, middle), name, fill=INK, font=font, anchor="rm")
            upright = Image.new("RGB", (margin - 8, cell), PAPER)
            ImageDraw.Draw(upright).text((0, cell / 2), name, fill=INK, font=font, anchor="lm")
            sheet.paste(upright.rotate(90, expand=True), (margin + index * cell, 4))

    def _write_counts(
        self,
        canvas: ImageDraw.ImageDraw,
        margin: int,
        cell: int,
        font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
        shares: np.ndarray,
    ) -> None:
        for there, said in np.argwhere(self.matrix).tolist():
            place = (margin + said * cell + cell / 2, margin + there * cell + cell / 2)
            ink = PAPER if shares[there, said] > 0.5 else INK
            canvas.text(place, str(self.matrix[there, said]), fill=ink, font=font, anchor="mm")
