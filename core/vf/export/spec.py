"""What an exported file says of itself: enough to predict with it, and for people who feed it without vf."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from vf.errors import CheckpointError
from vf.nn.frame import Frame, Side
from vf.protocols import DatasetInfo

FORMAT = "1"
IMAGES, SIZES = "images", "sizes"
"""Names of the inputs."""
MEANING = {
    IMAGES: "uint8 [B,3,H,W], RGB, 0 to 255; each image at the top left, the rest pad_value; mean, std and the order "
    "of the channels are in the graph",
    SIZES: "int64 [B,2], height and width in px of each image inside images; graphs that need it have it",
}


@attrs.frozen(kw_only=True)
class Spec:
    """A graph with its surroundings."""

    recipe: str
    """Text of the resolved recipe."""
    info: DatasetInfo
    versions: Mapping[str, str]
    frame: Frame
    """Heights and widths that it takes."""
    batch: int | None
    """Images that it takes at once; None: any number."""
    pad_value: int
    outputs: tuple[str, ...]
    preprocess: Mapping[str, Any]
    """What is done to an image before it lies in a batch."""

    def metadata(self) -> dict[str, str]:
        """Return it as texts, for the file."""
        sides = {name: attrs.asdict(side) for name, side in zip(("height", "width"), self._sides(), strict=True)}
        graph = {
            "inputs": MEANING,
            "outputs": list(self.outputs),
            "batch": self.batch,
            **sides,
            "pad_value": self.pad_value,
            "preprocess": dict(self.preprocess),
        }
        return {
            "vf_format": FORMAT,
            "recipe": self.recipe,
            "info": json.dumps(attrs.asdict(self.info), ensure_ascii=False),
            "versions": json.dumps(dict(self.versions)),
            "graph": json.dumps(graph, ensure_ascii=False),
        }

    def _sides(self) -> tuple[Side, Side]:
        return self.frame.height, self.frame.width

    @classmethod
    def read(cls, metadata: Mapping[str, str], where: str) -> Spec:
        """Take what :meth:`metadata` gave.

        Raises:
            CheckpointError: a file of another program, or of another version of this one.
        """
        if metadata.get("vf_format") != FORMAT:
            raise CheckpointError(f"{where}: a graph without a vf recipe; expected a file that 'vf run export' wrote")
        try:
            facts = {key: _frozen(value) for key, value in json.loads(metadata["info"]).items()}
            graph = json.loads(metadata["graph"])
            return cls(
                recipe=metadata["recipe"],
                info=DatasetInfo(**facts),
                versions=json.loads(metadata["versions"]),
                frame=Frame(Side(**graph["height"]), Side(**graph["width"])),
                batch=graph["batch"],
                pad_value=graph["pad_value"],
                outputs=tuple(graph["outputs"]),
                preprocess=graph["preprocess"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{where}: its vf metadata is not readable ({type(error).__name__}: {error})"
            ) from None


def _frozen(value: Any) -> Any:
    """Return lists, and those in them, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
