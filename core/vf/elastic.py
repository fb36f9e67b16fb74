"""Start N processes of a training on this node, with torch's elastic agent, and end with them."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import torch
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousParameters, rendezvous_handler_registry
from torch.distributed.elastic.rendezvous.static_tcp_rendezvous import StaticTCPRendezvous
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from vf.engine.signals import CODES
from vf.errors import RunError, SetupError
from vf.launch import Job, Nodes
from vf.world import OWN

FORWARDED = tuple(CODES)
GRACE = 60
"""Seconds that the other processes get to end by themselves when one has died."""
FAREWELL = 10
"""Seconds that node 0 waits at most for the other nodes to leave: they talk through it."""
LEFT = "vf/left"
"""Key of the number of nodes that have left."""
MEETING = "vf"
"""Name of :class:`Meeting` in torch's registry."""


class Meeting(StaticTCPRendezvous):
    """A fixed number of nodes, which meet at node 0.

    Torch's own ends with node 0's process, while others may still read the answer that all have finished: they then say
    that the connection was lost, after a training that went well.
    """

    def get_backend(self) -> str:
        """Return its name in the registry."""
        return MEETING

    def shutdown(self) -> bool:
        """Leave; node 0 goes last."""
        if self._store is None:
            return True  # the nodes never met
        with suppress(RuntimeError):  # node 0 was killed: what there is to say of that, the processes have said
            left = self._store.add(LEFT, 1)
            end = time.monotonic() + FAREWELL
            while self.rank == 0 and left < self.world_size and time.monotonic() < end:
                time.sleep(0.02)
                left = self._store.add(LEFT, 0)
        return True


def _meet(parameters: RendezvousParameters) -> Meeting:
    address, _, port = parameters.endpoint.rpartition(":")
    timeout = int(parameters.config["timeout"])
    return Meeting(address, int(port), parameters.config["rank"], parameters.max_nodes, parameters.run_id, timeout)


rendezvous_handler_registry.register(MEETING, _meet)


def launch(job: Job, *, nproc: int, nodes: Nodes, start: str = "") -> int:
    """Run the job in ``nproc`` processes on this node; return the exit code that they agree on.

    Args:
        job: what they do.
        nproc: how many.
        nodes: the machines that take part.
        start: how multiprocessing makes them; empty: :func:`how_to_start`.

    Raises:
        RunError: a process died.
        SetupError: the other nodes cannot be met.
    """
    for name in list(logging.root.manager.loggerDict):  # each has its own level
        if name.startswith(("torch.distributed.elastic", "torch.multiprocessing")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what users need to know is said in a line
    config = LaunchConfig(
        min_nodes=nodes.count,
        max_nodes=nodes.count,
        nproc_per_node=nproc,
        run_id=OWN,
        rdzv_backend="c10d" if nodes.count == 1 else MEETING,
        rdzv_endpoint=f"{nodes.address}:{nodes.port}",
        rdzv_configs={"rank": nodes.rank, "timeout": 900},
        max_restarts=0,
        monitor_interval=0.1,
        start_method=start or how_to_start(),
        signals_to_handle="SIGHUP",  # the others are passed on, so that the processes save first
        shutdown_timeout=GRACE,
    )
    try:
        with _passing_on_signals():
            codes: dict[int, int] = elastic_launch(config, _rank)(job.text())
    except ChildFailedError as error:
        raise RunError(_obituary(error, job)) from None
    except (RuntimeError, OSError, ValueError) as error:
        raise SetupError(f"node {nodes.rank} of {nodes.count}: cannot start: {str(error).splitlines()[0]}") from None
    return max(codes.values())


def how_to_start() -> str:
    """Return ``fork`` where that is safe: what each process would import, seconds of it, is then imported once.

    A process in which CUDA has been asked for anything must not be forked, nor one on macOS.
    """
    if sys.platform != "linux" or torch.cuda.is_available():
        return "spawn"
    import vf.worker  # noqa: F401 - for the processes; there is little memory of it that they do not share

    return "fork"


def _rank(text: str) -> int:
    """Entry of each process; ``text`` is the job as JSON."""
    from vf.worker import guarded  # spawned, the agent itself needs none of it

    for number in (signal.SIGHUP, *FORWARDED):
        signal.signal(number, signal.SIG_DFL)  # forked, it would do what the agent does
    try:
        code = guarded(Job.parse(text, "the job of this process"))
    except Exception:
        traceback.print_exc()  # a mistake of ours or of a plugin, which the agent would not show
        raise
    asked = signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if asked and code not in (0, *CODES.values()):
        # The agent has asked because another one died. It would wait for this one, which would wait for it to take
        # the code that is returned, which it does of no process once one has died.
        raise SystemExit(code)
    return code


@contextmanager
def _passing_on_signals() -> Iterator[None]:
    asked = False

    def forward(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for child in multiprocessing.active_children():
            if child.pid is not None:
                os.kill(child.pid, number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if asked else handler)  # the exit code stands


def _obituary(error: ChildFailedError, job: Job) -> str:
    rank, failure = min(error.failures.items(), key=lambda item: item[1].timestamp)
    code = failure.exitcode
    how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    resume = f"; go on with 'vf run train --resume {job.folder}'" if job.folder else ""
    return f"rank {rank} {how}; the other processes were ended{resume}"
