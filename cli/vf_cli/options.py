"""Options that several commands of ``vf run`` have."""

from __future__ import annotations

from typing import Any

import click

SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key; may be repeated.")
DEVICE = click.option("--device", default=None, metavar="DEVICE", help="auto, cpu, cuda or cuda:N.")
PLACES = ("nproc", "nodes", "node_rank", "master_addr", "master_port")


def processes(command: Any) -> Any:
    """Add the options that say where the processes run."""
    for name, kind, text in (
        ("--master-port", click.IntRange(min=1), "Free port of machine 0.  [default: $MASTER_PORT, $PORT]"),
        ("--master-addr", str, "Host of machine 0.  [default: $MASTER_ADDR]"),
        ("--node-rank", click.IntRange(min=0), "Of this machine, from 0.  [default: $NODE_RANK]"),
        (
            "--nodes",
            click.IntRange(min=1),
            "Machines; with the launcher local, type the command on each.  [default: $NNODES, else 1]",
        ),
        ("--nproc", click.IntRange(min=1), "Processes on this machine.  [default: 1]"),
    ):
        command = click.option(name, type=kind, help=text)(command)
    return command
