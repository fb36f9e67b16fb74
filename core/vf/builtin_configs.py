"""Config classes of core's own callbacks and launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from vf.errors import SetupError
from vf.schema import Duration, at_least, config, field, positive, within

if TYPE_CHECKING:
    from vf.engine.callbacks import Callback
    from vf.launch import Job
    from vf.sweeps import Sweep


@config
class Ema:
    """Keep an exponential moving average of the weights; it is what is evaluated and saved."""

    decay: float = field(default=0.9998, help="of the average, at each update", validator=within(0, 1))
    kind: Literal["ramped", "constant"] = field(
        default="ramped", help="ramped: the decay grows as 1 - exp(-step / ramp), so that early weights are forgotten"
    )
    ramp: float = field(
        default=2000.0, help="how slowly the decay grows; 0: constant", unit="steps", validator=at_least(0)
    )
    every: int = field(default=1, help="distance between updates", unit="steps", validator=positive())

    def build(self) -> Callback:
        from vf.engine.ema import Ema as EmaCallback

        return EmaCallback(decay=self.decay, ramp=self.ramp if self.kind == "ramped" else 0.0, every=self.every)


@config
class Swa:
    """Average the weights of moments of the training (arXiv 1803.05407); it is what is evaluated and saved."""

    start: Duration = field(help="of the first moment, from the start of the training")
    every: Duration = field(default=Duration(1, "epochs"), help="distance between moments")
    batches: int = field(
        default=200, help="of training data, to measure batch norms before an evaluation", validator=at_least(0)
    )

    def build(self) -> Callback:
        from vf.engine.swa import Swa as SwaCallback

        return SwaCallback(start=self.start, every=self.every, batches=self.batches)


@config
class EarlyStop:
    """Stop when a metric has not got better for a number of evaluations."""

    patience: int = field(default=10, help="evaluations without a new best", validator=positive())
    after: Duration = field(default=Duration(0, "steps"), help="never stop before this length")
    metric: str = field(default="", help="to watch; empty: the one that chooses the best checkpoint")
    mode: Literal["max", "min"] = field(default="max", help="whether more or less of metric is better")
    min_delta: float = field(default=0.0, help="least gain of metric that counts", validator=at_least(0))

    def __attrs_post_init__(self) -> None:
        if not self.metric and (self.mode != "max" or self.min_delta):
            raise ValueError("mode and min_delta belong to a metric; set metric too")

    def build(self) -> Callback:
        from vf.engine.early_stop import EarlyStop as EarlyStopCallback

        return EarlyStopCallback(
            patience=self.patience, after=self.after, metric=self.metric, mode=self.mode, min_delta=self.min_delta
        )


@config
class Freeze:
    """Hold a part of the weights still: neither gradient nor weight decay moves them, norms keep their statistics."""

    pattern: str = field(help="shell pattern on parameter names, like backbone.*")
    until: Duration | None = field(default=None, help="length from the start; nothing: the whole training")

    def build(self) -> Callback:
        from vf.engine.freeze import Freeze as FreezeCallback

        return FreezeCallback(pattern=self.pattern, until=self.until)


@config
class Sizes:
    """A range of input heights; the width keeps the shape of the model's size."""

    min: int = field(help="least height", unit="px", validator=positive())
    max: int = field(help="largest height", unit="px", validator=positive())
    step: int = field(default=32, help="from one height to the next", unit="px", validator=positive())

    def __attrs_post_init__(self) -> None:
        if self.min > self.max:
            raise ValueError(f"min {self.min} > max {self.max}")


@config
class MultiScale:
    """Train at input sizes that change; evaluation and prediction keep the model's size."""

    sizes: Sizes = field(help="min, max and step of the heights, each drawn as often as the others")
    every: Duration = field(default=Duration(10, "steps"), help="distance between draws")

    def build(self) -> Callback:
        from vf.engine.multi_scale import MultiScale as MultiScaleCallback

        return MultiScaleCallback(every=self.every, low=self.sizes.min, high=self.sizes.max, stride=self.sizes.step)


@config
class PreciseBN:
    """Before each evaluation, measure batch norms over many training batches (arXiv 2105.07576)."""

    batches: int = field(default=200, help="of training data, without transforms that mix", validator=positive())

    def build(self) -> Callback:
        from vf.engine.precise_bn import PreciseBN as PreciseBNCallback

        return PreciseBNCallback(batches=self.batches)


@config
class ImageLog:
    """At each evaluation, draw labels and predictions of a few validation images."""

    images: int = field(default=8, help="the first so many of the split", validator=positive())
    threshold: float = field(default=0.3, help="score from which on predictions are drawn", validator=within(0, 1))

    def build(self) -> Callback:
        from vf.engine.image_log import ImageLog as ImageLogCallback

        return ImageLogCallback(images=self.images, threshold=self.threshold)


@config
class LrMonitor:
    """Write learning rate and momentum of each parameter group for TensorBoard."""

    def build(self) -> Callback:
        from vf.engine.lr_monitor import LrMonitor as LrMonitorCallback

        return LrMonitorCallback()


@config
class Profiler:
    """Trace a few steps: a timeline for chrome://tracing and a table of the costliest operations."""

    start: int = field(default=10, help="steps before the first one that is traced", validator=at_least(0))
    steps: int = field(default=5, help="to trace", validator=positive())

    def build(self) -> Callback:
        from vf.engine.profiler import Profiler as ProfilerCallback

        return ProfilerCallback(start=self.start, steps=self.steps)


@config
class Local:
    """Run here: in this process, or in N processes on this machine, or on each of several plain machines."""

    nproc: int | None = field(default=None, help="processes on this machine; nothing: 1", validator=positive())
    nodes: int | None = field(default=None, help="machines; nothing: $NNODES, else 1", validator=positive())
    node_rank: int | None = field(
        default=None, help="of this machine; nothing: $NODE_RANK, else 0", validator=at_least(0)
    )
    master_addr: str = field(default="", help="host of machine 0; empty: $MASTER_ADDR")
    master_port: int | None = field(
        default=None, help="free port of machine 0; nothing: $MASTER_PORT, $PORT", validator=positive()
    )

    def launch(self, job: Job) -> int:
        """Run the job and return its exit code; under torchrun, srun or mpirun this is one of its processes."""
        from vf.launch import Nodes
        from vf.worker import work
        from vf.world import find_world

        nodes = Nodes.of(self.nodes, self.node_rank, self.master_addr, self.master_port)
        if find_world().size > 1:
            if (self.nproc or 1) > 1:
                raise SetupError(
                    "--nproc: the processes are started already, by torchrun, srun or mpirun; leave it out"
                )
            return work(job)
        if (self.nproc or 1) * nodes.count == 1:
            return work(job)
        from vf.elastic import launch

        return launch(job, nproc=self.nproc or 1, nodes=nodes)

    def launch_sweep(self, sweep: Sweep) -> int:
        """Do the runs one after another; 1 where any of them failed."""
        from vf.in_turn import launch
        from vf.launch import Nodes
        from vf.world import find_world

        nodes = Nodes.of(self.nodes, self.node_rank, self.master_addr, self.master_port)
        if find_world().size > 1 or nodes.count > 1:
            raise SetupError(
                "--sweep: its runs are started here, one after another; use one machine, without torchrun, srun or "
                "mpirun, or add --launcher slurm"
            )
        return launch(sweep, {"nproc": self.nproc, "nodes": 1})
