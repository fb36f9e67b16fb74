"""Config classes of the layouts that labels are written in. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import vf

if TYPE_CHECKING:
    from vf.protocols import Writer

__all__ = ["Folder", "List"]


@vf.config
class Folder:
    """A folder for each class: SPLIT/CLASS/NAME.jpg; one label an image."""

    task: ClassVar[str] = "cls"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_cls.writers.folder import FolderWriter

        return FolderWriter()


@vf.config
class List:
    """Lists SPLIT.csv, or SPLIT.jsonl with several labels an image, and classes.txt."""

    task: ClassVar[str] = "cls"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_cls.writers.list import ListWriter

        return ListWriter()
