"""``python -m vf.member JOB.json LAUNCHER.json``: do one job of several on this machine, in a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path


def main() -> int:
    """Read the job and the keys of the launcher ``local``; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the loop listens: Ctrl-C in the midst of an import is no error
    from vf.builtin_configs import Local
    from vf.errors import VFError
    from vf.launch import Job

    try:
        return Local(**json.loads(sys.argv[2])).launch(Job.read(Path(sys.argv[1])))
    except VFError as error:
        for problem in error.problems:
            print(f"error: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - the last word of a process
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


if __name__ == "__main__":
    raise SystemExit(main())
