"""Config classes of the layouts that labels are written in. Free of torch and numpy until ``build()``."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import vf

if TYPE_CHECKING:
    from vf.protocols import Writer

__all__ = ["Folders"]


@vf.config
class Folders:
    """Folders of images and of maps: images/SPLIT/*, masks/SPLIT/*.png with class indices, classes.txt."""

    task: ClassVar[str] = "seg"

    def build(self) -> Writer:
        """Build the writer."""
        from vf_seg.writers.folders import FoldersWriter

        return FoldersWriter()
