"""The config class of the launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vf import at_least, config, field, positive
from vf_slurm.units import a_size, a_time, minutes

if TYPE_CHECKING:
    from vf.launch import Job
    from vf.sweeps import Sweep

NOTICE = 120.0
"""Seconds before its end at which a job is told, where it is long enough."""

OURS = {"array", "error", "open-mode", "output", "wrap"}
"""Options of sbatch that would break a job: each element of an array would write into one run folder."""


@config
class Slurm:
    """Submit to a Slurm cluster, save before the time is over or another job needs the nodes, and go on by itself.

    Nothing is said to Slurm that is not set here, so that the site's own defaults hold.
    """

    partition: str | None = field(default=None, help="to wait in")
    account: str | None = field(default=None, help="to charge")
    qos: str | None = field(default=None, help="quality of service")
    time: str | None = field(
        default=None, help="limit of one start, like 4h, 90min, 2d or 1-12:00:00", validator=a_time()
    )
    nodes: int | None = field(default=None, help="machines; nothing: 1", validator=positive())
    gpus_per_node: int | None = field(default=None, help="on each machine", unit="GPUs", validator=at_least(0))
    tasks_per_node: int | None = field(
        default=None, help="processes on each machine; nothing: one a GPU, else 1", validator=positive()
    )
    cpus_per_task: int | None = field(
        default=None, help="of each process, its data workers included", unit="cores", validator=positive()
    )
    mem: str | None = field(default=None, help="memory of each machine, like 64G", validator=a_size())
    constraint: str | None = field(default=None, help="features that the machines must have, like 'a100|h100'")
    exclude: str | None = field(default=None, help="machines not to use, like node[3-4]")
    nodelist: str | None = field(default=None, help="machines to use")
    dependency: str | None = field(default=None, help="jobs to wait for, like afterok:123")
    comment: str | None = field(default=None, help="for people and accounting")
    setup: tuple[str, ...] = field(
        default=(), help="lines of shell before the processes start, like 'module load cuda'"
    )
    python: str | None = field(default=None, help="command that runs Python; nothing: the one that submits")
    container: str | None = field(
        default=None, help="command that each process runs in, like 'apptainer exec --nv image.sif'"
    )
    srun_args: tuple[str, ...] = field(default=(), help="more arguments of srun; nothing: $SRUN_ARGS")
    additional: dict[str, Any] = field(
        default={}, help="any other option of sbatch by its long name, like {mail-type: END, exclusive: true}"
    )
    max_requeues: int = field(
        default=100,
        help="times that the job may start again; 0: never, not even when a machine fails",
        validator=at_least(0),
    )
    max_parallel: int | None = field(
        default=None, help="runs of a sweep at a time; nothing: as many as Slurm starts", validator=positive()
    )
    notice: str | None = field(
        default=None,
        help="how long before its end the job is told to save; nothing: 2min, or a quarter of a short time",
        validator=a_time(),
    )

    def __attrs_post_init__(self) -> None:
        if own := sorted({str(name).replace("_", "-") for name in self.additional} & OURS):
            raise ValueError(f"additional: {own[0]} is what vf itself says to Slurm; leave it out")
        if self.gpus_per_node and self.tasks_per_node and self.tasks_per_node > self.gpus_per_node:
            raise ValueError(
                f"tasks_per_node: each process takes a GPU of its own, and {self.tasks_per_node} is more than "
                f"gpus_per_node {self.gpus_per_node}; make it {self.gpus_per_node}"
            )
        if self.time and self.notice and minutes(self.notice) >= minutes(self.time):
            raise ValueError(f"notice: must be shorter than time {self.time}, got {self.notice!r}")

    @property
    def tasks(self) -> int:
        """Processes on each machine."""
        return self.tasks_per_node or self.gpus_per_node or 1

    @property
    def notice_seconds(self) -> int:
        """Seconds before its end at which the job is told."""
        if self.notice:
            return max(1, round(60 * minutes(self.notice)))
        return round(min(NOTICE, 15 * minutes(self.time))) if self.time else round(NOTICE)

    def launch(self, job: Job) -> int:
        """Submit the job, say its id and where it writes, and return at once."""
        from vf_slurm.submit import submit

        submit(self, job)
        return 0

    def script(self, job: Job) -> str:
        """Return the script that :meth:`launch` would submit."""
        from vf_slurm.submit import preview

        return preview(self, job)

    def launch_sweep(self, sweep: Sweep) -> int:
        """Submit the runs as one array of jobs, and return at once."""
        from vf_slurm.submit_sweep import submit_sweep

        submit_sweep(self, sweep)
        return 0

    def script_sweep(self, sweep: Sweep) -> str:
        """Return the script that :meth:`launch_sweep` would submit."""
        from vf_slurm.submit_sweep import preview_sweep

        return preview_sweep(self, sweep)
