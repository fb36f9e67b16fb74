"""Starts ``vf`` in milliseconds: imports everything once, then forks a process for each line that comes in.

A line is JSON: the folder to work in, the arguments, and files for stdout and stderr. The answer is the process id,
and later, on another line, the exit code that ``wait`` asks for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import vf.worker
from vf_cli.main import main

assert vf.worker  # imported for what it brings along


def start(request: dict[str, Any]) -> int:
    """Fork; the child becomes ``vf ARGUMENTS`` in a session of its own."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    os.chdir(request["folder"])
    for number, name in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        os.dup2(os.open(name, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    sys.path.append(request["site"])
    sys.argv = ["vf", *request["arguments"]]
    os.environ.update(request["environment"])
    main()
    raise AssertionError("main leaves with an exit code")


def wait(child: int, seconds: float) -> int | None:
    """Return the exit code, negative for a signal; None while it runs."""
    limit = time.monotonic() + seconds
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > limit:
            return None
        time.sleep(0.01)


def serve() -> None:
    """Answer until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = wait(request["wait"], request["seconds"]) if "wait" in request else start(request)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
