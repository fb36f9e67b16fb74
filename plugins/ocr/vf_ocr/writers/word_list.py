"""Write words as lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vf.data.entries import Entries
from vf.data.placing import Placing
from vf.errors import DataError
from vf.protocols import DatasetInfo, Images, Track


class WordListWriter:
    """Writes SPLIT.tsv, with the images where they are, or in SPLIT/; words that lie in no file are written as PNG."""

    def write(
        self, folder: Path, info: DatasetInfo, splits: Mapping[str, Entries], *, images: Images, track: Track
    ) -> Sequence[str]:
        """Write all splits; see `vf.protocols.Writer`."""
        for split, entries in splits.items():
            alone = any(entries.path(place) is None for place in range(min(1, len(entries))))
            how: Images = "copy" if alone else images
            placing = Placing(entries, how, folder / split, base=folder)
            lines = []
            for place, entry in enumerate(track(entries, f"write {split}", len(entries))):
                text = entry.target.get("text")
                if text is None:
                    raise DataError(
                        f"{entry.id}: is no word; write pages with --to icdar, or cut them with data 'crops'"
                    )
                if any(c in text for c in "\t\r\n"):
                    raise DataError(f"{entry.id}: the text {text!r} holds a tab or a line, which a list cannot say")
                name = placing.put(place)
                lines.append(f"{name if how == 'keep' else f'{split}/{name}'}\t{text}\n")
            (folder / f"{split}.tsv").write_text("".join(lines), encoding="utf-8")
        return ()
