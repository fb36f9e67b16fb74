"""Generated words and pages as data sets."""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision import tv_tensors

from vf.data.sample import Sample
from vf_ocr.charsets import Charset
from vf_ocr.data.targets import page_target
from vf_ocr.generate.crops import WordSettings, word
from vf_ocr.generate.pages import PageSettings, page
from vf_ocr.texts import ILLEGIBLE, Texts


class WordsDataset:
    """Words ``0..length-1`` of one split; nothing is stored, each is drawn when it is asked for.

    Args:
        settings: what they look like.
        split: its name.
        length: of the split.
        charset: what is to be read of a word.
    """

    def __init__(self, settings: WordSettings, split: str, length: int, charset: Charset) -> None:
        self._settings = settings
        self._split = split
        self._length = length
        self._charset = charset

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        pixels, text = word(self._settings, self._split, index)
        image = tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1))
        return Sample(image, {"text": self._charset.read(text)}, f"words/{self._split}/{index:06d}")


class PagesDataset:
    """Pages ``0..length-1`` of one split, drawn when they are asked for; see `vf_ocr.data.targets.page_target`.

    Args:
        settings: what they look like.
        split: its name.
        length: of the split.
        charset: what is to be read of a word; None: the words as they are drawn.
    """

    def __init__(self, settings: PageSettings, split: str, length: int, charset: Charset | None) -> None:
        self._settings = settings
        self._split = split
        self._length = length
        self._charset = charset

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(index)
        made = page(self._settings, self._split, index)
        texts = Texts(
            text if text == ILLEGIBLE or self._charset is None else self._charset.read(text) for text in made.texts
        )
        image = tv_tensors.Image(torch.from_numpy(made.image).permute(2, 0, 1))
        target = page_target(
            torch.from_numpy(made.quads), texts, torch.from_numpy(made.ignored), size=self._settings.size
        )
        return Sample(image, target, f"pages/{self._split}/{index:06d}")

    def sizes(self) -> Tensor:
        """Height and width of each image [N,2]."""
        return torch.tensor(self._settings.size).expand(self._length, 2)
