"""Files of a run that grow line by line or record by record, and what they hold while a disk is full."""

from __future__ import annotations

import errno
import io
import json
import math
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vf.runs import EVENTS

if TYPE_CHECKING:
    from PIL.Image import Image


def line(record: Mapping[str, Any]) -> bytes:
    """Return a line of JSON, which has no numbers that are not finite: they become ``"nan"``, ``"inf"``, ``"-inf"``."""
    plain = {key: finite(value) for key, value in record.items()}
    return (json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n").encode()


def finite(value: Any) -> Any:
    """Return a number that JSON has not as text, anything else as it is."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Growing:
    """A file that is appended to; it keeps what a full disk refuses, and writes it when there is room again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.said = ""
        """What the disk said to the last addition; empty: it was written."""
        self._waiting: list[bytes] = []

    @property
    def lost(self) -> int:
        """Number of additions that are not written."""
        return len(self._waiting)

    def add(self, content: bytes) -> None:
        """Append, after what waits."""
        self._waiting.append(content)
        try:
            self._append(b"".join(self._waiting))
        except OSError as error:
            self.said = error.strerror or str(error)
        else:
            self._waiting, self.said = [], ""

    def _append(self, content: bytes) -> None:
        with self.path.open("ab", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            try:
                written = file.write(content)
                if written < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(end)  # half a line would spoil the next
                raise


class Events:
    """TensorBoard's file of a run. Its own writer has a thread, which ends with a traceback where a disk is full."""

    def __init__(self, folder: Path, *, purge_from: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # type: ignore[import-untyped]

        self.file = Growing(folder / f"{EVENTS}.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}")
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge_from is not None:  # what was written from that step on is forgotten
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=purge_from, session_log=start))

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add points of curves."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._add(Event(wall_time=time.time(), step=step, summary=Summary(value=points)))

    def add_image(self, tag: str, image: Image, step: int) -> None:
        """Add a picture, as PNG."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        content = io.BytesIO()
        image.save(content, "PNG")
        picture = Summary.Image(height=image.height, width=image.width, encoded_image_string=content.getvalue())
        summary = Summary(value=[Summary.Value(tag=tag, image=picture)])
        self._add(Event(wall_time=time.time(), step=step, summary=summary))

    def _add(self, event: Any) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        record = io.BytesIO()
        RecordWriter(record).write(event.SerializeToString())
        self.file.add(record.getvalue())
