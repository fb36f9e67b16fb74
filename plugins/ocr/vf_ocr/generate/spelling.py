"""What generated text says: syllables that can be spoken, numbers, and characters at random; no list of words."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import numpy as np

from vf_ocr.charsets import Charset

# Parts of syllables of English, repeated by how common they are; their letters come out near those of English text.
_ONSETS = (
    "b bl br c c c ch ch cl cr d d d dr f f fl fr g gl gr h h h j k l l l m m m n n n p p p pl pr qu r r r s s s s sc "
    "sh sh sk sl sm sn sp st st str sw t t t th th tr tw v v w w wh y z"
)
_NUCLEI = "a a a a a ai au ay e e e e e e e ea ee ei i i i i i ie o o o o o oa oi oo ou ow u u u ue y"
_CODAS = (
    "b ck ct d d ft g k l l ld ll lt m mp n n n n nd ng nk nt p pt r r r rd rk rm rn rt s s s sh sk ss st st t t t t x"
)
_ENDINGS = "s es ed er ers ing ion ly le al ic y ry ty est ment ness able ton ville land"
_PARTS = tuple(tuple(parts.split()) for parts in (_ONSETS, _NUCLEI, _CODAS, _ENDINGS))
_MARKS = "-'.&"
"""What stands inside and behind words, where the set has it."""
_ACCENTS = {
    "a": "àáâãäåāăą",
    "c": "çćč",
    "d": "ďđ",
    "e": "èéêëēęě",
    "g": "ğ",
    "i": "ìíîïī",
    "l": "łľ",
    "n": "ñńň",
    "o": "òóôõöøō",
    "r": "ř",
    "s": "śšş",
    "t": "ťţ",
    "u": "ùúûüūů",
    "y": "ýÿ",
    "z": "źżž",
}


@attrs.frozen(kw_only=True)
class Speller:
    """Draws texts of a set of characters.

    Args:
        characters: all that may come; of those that no font can draw, the caller has left out.
        min_length: of a text, characters.
        max_length: of a text, characters.
        scrambled: part of the texts whose characters are drawn at random, each as often.
        numbers: part of the texts that are numbers.
    """

    characters: tuple[str, ...]
    min_length: int
    max_length: int
    scrambled: float
    numbers: float
    _charset: Charset = attrs.field(init=False, repr=False)
    _digits: tuple[str, ...] = attrs.field(init=False, repr=False)

    @_charset.default
    def _own_charset(self) -> Charset:
        return Charset(self.characters)

    @_digits.default
    def _own_digits(self) -> tuple[str, ...]:
        return tuple(c for c in self.characters if c in "0123456789")

    def __call__(self, rng: np.random.Generator) -> str:
        """Draw one text, of ``min_length`` to ``max_length`` characters of the set."""
        kind = rng.random()
        if kind < self.scrambled:
            return self._scrambled(rng)
        make: Callable[[np.random.Generator], str] = self._word
        if self._digits and kind < self.scrambled + self.numbers:
            make = self._number
        for _ in range(4):
            text = make(rng)
            if self.min_length <= len(text) <= self.max_length:
                return text
            if len(text) > self.max_length:
                return text[: self.max_length]
        return self._scrambled(rng)

    def _scrambled(self, rng: np.random.Generator) -> str:
        length = int(rng.integers(self.min_length, self.max_length + 1))
        return "".join([self.characters[k] for k in rng.integers(0, len(self.characters), length)])

    def _number(self, rng: np.random.Generator) -> str:
        """Digits; prices, times, dates and percentages where the set has their marks."""
        length = int(rng.integers(1, 7))
        digits = "".join([self._digits[k] for k in rng.integers(0, len(self._digits), length)])
        known, style = self._charset.known, int(rng.integers(0, 8))
        if style == 0 and "." in known:
            return f"{digits[:3]}.{digits[-2:]}"
        if style == 1 and ":" in known:
            return f"{digits[:2]}:{digits[-2:]}"
        if style == 2 and "$" in known:
            return f"${digits}"
        if style == 3 and "%" in known:
            return f"{digits[:2]}%"
        if style == 4 and "/" in known:
            return f"{digits[:2]}/{digits[-2:]}"
        if style == 5 and "-" in known and length > 3:
            return f"{digits[:3]}-{digits[3:]}"
        return digits

    def _word(self, rng: np.random.Generator) -> str:
        drawn = rng.random(24)
        text = _spoken(drawn)
        known = self._charset.known
        if drawn[15] < 0.5:
            text = text.upper() if drawn[15] < 0.25 else text.capitalize()
        if drawn[16] < 0.3 and "é" in known:
            text = _accented(text, drawn[17], drawn[18])
        if drawn[19] < 0.12:
            mark = _MARKS[int(drawn[20] * len(_MARKS))]
            place = len(text) if mark == "." else 1 + int(drawn[21] * max(1, len(text) - 1))
            text = text[:place] + mark + text[place:]
        elif drawn[19] < 0.2:
            tail = ',!?:;)"'[int(drawn[20] * 7)]
            text += tail
        elif drawn[19] < 0.23 and self._digits:
            text += self._digits[int(drawn[20] * len(self._digits))]
        return self._charset.read(text)


def _spoken(drawn: np.typing.NDArray[np.float64]) -> str:
    """One to four syllables, made of numbers in 0..1."""
    count = 1 + int(drawn[0] > 0.35) + int(drawn[0] > 0.8) + int(drawn[0] > 0.96)
    onsets, nuclei, codas, endings = _PARTS
    parts = []
    for k in range(count):
        onset, nucleus, coda = drawn[1 + 3 * k : 4 + 3 * k]
        if onset > 0.15 or k:
            parts.append(onsets[int(onset * len(onsets))])
        parts.append(nuclei[int(nucleus * len(nuclei))])
        common = 0.7 if k == count - 1 else 0.35
        if coda < common:
            parts.append(codas[int(coda / common * len(codas))])
    if drawn[13] < 0.2:
        parts.append(endings[int(drawn[14] * len(endings))])
    return "".join(parts)


def _accented(text: str, where: float, which: float) -> str:
    """Put an accent on one letter that has any."""
    places = [k for k, c in enumerate(text) if c.lower() in _ACCENTS]
    if not places:
        return text
    place = places[int(where * len(places))]
    forms = _ACCENTS[text[place].lower()]
    form = forms[int(which * len(forms))]
    return text[:place] + (form.upper() if text[place].isupper() else form) + text[place + 1 :]
