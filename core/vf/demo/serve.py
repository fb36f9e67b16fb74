"""``vf demo``: serve the page until it is interrupted."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from vf.demo.app import Demo
from vf.errors import SetupError
from vf.predict import Predictor
from vf.results import THRESHOLD

LOOPBACK = ("127.0.0.1", "localhost", "::1")
PATIENCE = 60.0
"""Seconds that a connection may say nothing."""

FAREWELL = 10.0
"""Seconds that the image gets which is being looked at when all ends."""
_ENDED: list[Demo] = []
"""Demos until the program ends. A thread that answers must not be the one that frees a model: Python kills such threads
when it ends, and torch aborts where that happens inside of it."""


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing of what is asked."""


def open_demo(
    checkpoint: str, *, host: str = "127.0.0.1", port: int = 0, device: str = "auto", threshold: float = THRESHOLD
) -> BaseWSGIServer:
    """Load a model and listen; ``serve_forever()`` of what is returned answers.

    Args:
        checkpoint: what :func:`vf.load` takes.
        host: address to listen on; one that is not of this machine alone lets others ask.
        port: 0: a free one.
        device: to compute on.
        threshold: score from which on predictions are shown at first.

    Raises:
        CheckpointError: the model cannot be loaded.
        SetupError: nothing can listen there.
    """
    with _listening(host, port) as bound:  # before the model is loaded, which takes longer
        predictor = Predictor.load(checkpoint, device=device)
        hosts = LOOPBACK if host in LOOPBACK else ()
        app = Demo(predictor, name=_name(checkpoint), hosts=hosts, threshold=threshold)
        port = bound.getsockname()[1]
        return make_server(host, port, app, threaded=True, request_handler=_Handler, fd=bound.fileno())


def _listening(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SetupError(f"--host {host} --port {port}: cannot listen there: {why}; choose another --port") from None


def _name(checkpoint: str) -> str:
    """Return the name of a run for a run or a checkpoint of it, else of the file."""
    path = Path(checkpoint).resolve()
    run = next((folder for folder in (path, *path.parents[:3]) if (folder / "recipe.yaml").is_file()), None)
    return run.name if run is not None else path.name


def serve(server: BaseWSGIServer, say: Callable[[str], None]) -> None:
    """Answer until Ctrl-C."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    say(f"demo  http://{host}:{server.port}/  (Ctrl-C ends it)")
    if server.host not in LOOPBACK:
        say("note: whoever reaches this machine can ask the model; nothing asks for a password")
    server.serve_forever()  # until Ctrl-C, which it takes itself
    app: Demo = server.app  # type: ignore[assignment]
    app.close(FAREWELL)
    _ENDED.append(app)
    say("ended")
