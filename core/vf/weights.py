"""Start from weights that exist: matched by name and shape, with a line that says what came and what did not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from torch import Tensor, nn

from vf.engine.checkpoint import load_plain, read_safetensors
from vf.errors import CheckpointError, listed
from vf.fetch import fetch, is_address, shown
from vf.runs import find_weights

WRAPPERS = ("ema", "state_dict", "model", "module", "params")
"""Keys under which files of others keep their weights; of several that fit alike, the first is taken."""
INIT_FROM = "--init-from"
DEPTH = 3
"""Wrappers that may lie in each other, as in ``{"ema": {"module": {...}}}``."""
COUNTER = "num_batches_tracked"
"""Ending of a counter of batch norm that many files lack; loaded where it is there, and not counted."""
ENOUGH = 0.5
GROUPS = 4


def init_from(
    model: nn.Module,
    source: str,
    *,
    allow_partial: bool = False,
    tell: Callable[[str], None] = lambda line: None,
    key: str = INIT_FROM,
    parts: Sequence[str] = (),
) -> str:
    """Load weights, and nothing else, into ``model``; return the line that reports it.

    Args:
        source: a run folder, a checkpoint folder, a safetensors or torch file, or an http(s) address of a file.
        allow_partial: be content when less than half of the model's tensors are found.
        tell: takes the lines of a download.
        key: what the user set to ``source``, for the messages.
        parts: names of ``model`` inside a larger one, like ``backbone``; files of that one will do too.

    Raises:
        CheckpointError: there is no such file, it is broken, it holds more than tensors and plain data, or too
            little of it fits. The model is unchanged then.
    """
    name = shown_source(source)
    wanted = _tensors(model.state_dict())
    found = read_weights(source, key=key, tell=tell)
    found += [
        {n.removeprefix(f"{part}."): t for n, t in tensors.items() if n.startswith(f"{part}.")}
        for part in parts
        for tensors in found
    ]
    match = _matched(wanted, _best(wanted, found))
    came, total = len(counted(match.fits)), len(counted(wanted))
    if came == 0 or (came < ENOUGH * total and not allow_partial):
        raise CheckpointError(_too_little(key, name, match, came, total))
    model.load_state_dict(match.fits, strict=False)
    return f"loaded {came}/{total} from {name}{match.rest()}"


def read_weights(source: str, *, key: str, tell: Callable[[str], None]) -> list[dict[str, Tensor]]:
    """Return every set of named tensors that ``source`` holds; for the arguments and errors see :func:`init_from`."""
    return _read(_locate(source, tell, key), f"{key} {shown_source(source)}")


def shown_source(source: str) -> str:
    """Return where weights come from, for people."""
    return shown(source) if is_address(source) else source


@attrs.frozen
class _Match:
    """A model's tensors beside those of a file."""

    wanted: Mapping[str, Tensor]
    given: Mapping[str, Tensor]
    fits: dict[str, Tensor]

    def rest(self) -> str:
        """Say what is new, what is unused, and which shapes differ."""
        wanted, given = counted(self.wanted), counted(self.given)
        new = [n for n in wanted if n not in self.fits]
        unused = [n for n in given if n not in self.wanted]
        shapes = [f"{n} {_shape(self.given[n])} for {_shape(self.wanted[n])}" for n in new if n in self.given]
        text = f"; new {len(new)}: {grouped(new, wanted)}" if new else ""
        text += f"; unused {len(unused)}: {grouped(unused, given)}" if unused else ""
        return text + (f"; other shapes: {listed(shapes, limit=GROUPS)}" if shapes else "")


def _locate(source: str, tell: Callable[[str], None], key: str) -> Path:
    if is_address(source):
        return fetch(source, tell=tell)
    path = Path(source)
    if source and path.is_dir():
        return find_weights(source)
    if not path.is_file():
        raise CheckpointError(f"{key} {source}: no such file, run or http(s) address")
    return path


def _read(path: Path, where: str) -> list[dict[str, Tensor]]:
    """Return every set of named tensors in a file; there is one in most. ``where`` begins the message."""
    if path.suffix == ".safetensors" or _looks_like_safetensors(path):
        return [read_safetensors(path)[0]]
    content = load_plain(path)
    found = list(_layers(content, DEPTH))
    if not found:
        keys = listed(map(str, content), limit=GROUPS) if isinstance(content, Mapping) else type(content).__name__
        raise CheckpointError(
            f"{where}: holds no named tensors; expected a state_dict, alone or under {listed(WRAPPERS)}; got {keys}"
        )
    return found


def _looks_like_safetensors(path: Path) -> bool:
    """Downloads need not have the suffix: a length of eight bytes, then JSON."""
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror or error}") from None


def _layers(content: Any, depth: int) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors of a mapping, after those of the wrappers in it."""
    if not isinstance(content, Mapping):
        return
    for wrapper in WRAPPERS if depth else ():
        yield from _layers(content.get(wrapper), depth - 1)
    if tensors := _tensors(content):
        yield tensors


def _tensors(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    return {n: t for n, t in content.items() if isinstance(n, str) and isinstance(t, Tensor)}


def _best(wanted: Collection[str], found: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the set whose names fit most, with the prefix stripped that all of them share where that helps.

    Prefixes like ``module.`` come from wrappers of the network: DistributedDataParallel, torch.compile, a backbone.
    """
    choices = [stripped for tensors in found for stripped in _stripped(tensors)]
    return max(choices, key=lambda tensors: sum(n in wanted for n in tensors))  # the first of equals


def _stripped(tensors: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    yield tensors
    first = {n.partition(".")[0] for n in tensors}
    if len(first) == 1 and all("." in n for n in tensors):
        yield from _stripped({n.partition(".")[2]: t for n, t in tensors.items()})


def _matched(wanted: Mapping[str, Tensor], given: dict[str, Tensor]) -> _Match:
    fits = {n: t for n, t in given.items() if n in wanted and t.shape == wanted[n].shape}
    return _Match(wanted, given, fits)


def _too_little(key: str, name: str, match: _Match, came: int, total: int) -> str:
    sides = [listed([f"{n} {_shape(t)}" for n, t in list(side.items())[:3]]) for side in (match.wanted, match.given)]
    cure = ""
    if key == INIT_FROM:
        cure = ", or take what fits with --allow-partial" if came else ", nothing of it can be used"
    return (
        f"{key} {name}: only {came} of the model's {total} tensors fit by name and shape; the model begins "
        f"with {sides[0]}; the file with {sides[1]}; choose weights of this model{cure}"
    )


def counted(names: Iterable[str]) -> list[str]:
    """Leave out what the report does not count."""
    return [name for name in names if not name.endswith(COUNTER)]


def _shape(tensor: Tensor) -> str:
    return f"({', '.join(map(str, tensor.shape))})"


def grouped(names: Collection[str], among: Collection[str]) -> str:
    """Return names for a sentence, ``head.*`` standing for several where ``among`` has no others below ``head``."""
    others = {prefix for name in set(among) - set(names) for prefix in _prefixes(name)}
    groups: dict[str, list[str]] = {}
    for name in names:
        whole = next((prefix for prefix in _prefixes(name) if prefix not in others), name)
        groups.setdefault(whole, []).append(name)
    shown_groups = [f"{prefix}.*" if len(members) > 1 else members[0] for prefix, members in groups.items()]
    return ", ".join(shown_groups[:GROUPS]) + (", …" if len(shown_groups) > GROUPS else "")


def _prefixes(name: str) -> list[str]:
    """Return ``a`` and ``a.b`` for ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]
