"""What processes say to each other: alone, and as two that are connected by gloo."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vf.engine import ranks as module
from vf.engine.ranks import Ranks, naming_lost_contact, open_ranks
from vf.errors import ConfigError, DataError, RunError, SetupError, VFError
from vf.world import World

CPU = torch.device("cpu")


def refuse(*problems: str) -> None:
    raise DataError(*problems)


def raised(action: Callable[[], Any]) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(VFError) as error:
        action()
    return type(error.value).__name__, error.value.problems


def everything(ranks: Ranks) -> dict[str, Any]:
    """Call each method of the talk between processes; every process does the same."""
    rank = ranks.world.rank
    norm = nn.BatchNorm1d(1)
    norm.running_mean.fill_(rank + 5.0)  # type: ignore[union-attr]
    ranks.broadcast_buffers(norm)
    ranks.barrier()

    def only_here() -> None:
        if rank == ranks.world.size - 1:
            refuse(f"seen by rank {rank}", "seen by any")

    return {
        "agree": ranks.agree(rank, 7 - rank, 0),
        "gather": ranks.gather({"rank": rank}),
        "gather_on_first": ranks.gather_on_first(rank),
        "mean": ranks.mean(torch.tensor([1.0, rank * 4.0])).tolist(),
        "from_first": ranks.from_first(lambda: f"made by {rank}"),
        "from_first fails": raised(lambda: ranks.from_first(lambda: refuse(f"rank {rank} failed"))),
        "together": ranks.together(lambda: f"own {rank}"),
        "together, one fails": raised(lambda: ranks.together(only_here)),
        "together, all fail": raised(lambda: ranks.together(lambda: refuse("one line", f"line of {rank}"))),
        "buffers": norm.running_mean.tolist(),  # type: ignore[union-attr, operator]
    }


def one_gpu(ranks: Ranks) -> Any:
    """What two processes say that see one and the same GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="GPU-1"))
        return raised(lambda: module._refuse_shared_gpus(ranks, torch.device("cuda", 0)))


def speak(rank: int, port: int, answers: Any) -> None:
    world = World(rank=rank, size=2, local_rank=rank, local_size=2, by="mpirun", port=port)
    with open_ranks(world, CPU, timeout=60) as ranks:
        answers.put((rank, everything(ranks), one_gpu(ranks)))
        ranks.barrier()


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


def test_one_process_answers_itself() -> None:
    with open_ranks(World(), CPU, timeout=1) as ranks:
        assert not ranks.many
        assert everything(ranks) == {
            "agree": [0, 7, 0],
            "gather": [{"rank": 0}],
            "gather_on_first": [0],
            "mean": [1.0, 0.0],
            "from_first": "made by 0",
            "from_first fails": ("DataError", ("rank 0 failed",)),
            "together": "own 0",
            "together, one fails": ("DataError", ("seen by rank 0", "seen by any")),
            "together, all fail": ("DataError", ("one line", "line of 0")),
            "buffers": [5.0],
        }


def test_two_processes_agree_and_the_first_speaks(port: int) -> None:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    processes = [context.Process(target=speak, args=(rank, port, answers)) for rank in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0, 0]
    (_, first, first_gpu), (_, second, second_gpu) = sorted(answers.get() for _ in processes)
    alike = {
        "agree": [1, 7, 0],
        "gather": [{"rank": 0}, {"rank": 1}],
        "mean": [1.0, 2.0],
        "from_first": "made by 0",
        "buffers": [5.0],
    }
    assert first == {
        **alike,
        "gather_on_first": [0, 1],
        "from_first fails": ("DataError", ("rank 0 failed",)),
        "together": "own 0",
        "together, one fails": ("DataError", ("seen by rank 1", "seen by any")),
        "together, all fail": ("DataError", ("one line", "line of 0", "line of 1")),
    }
    assert second == {
        **alike,
        "gather_on_first": [],
        "from_first fails": ("DataError", ()),
        "together": "own 1",
        "together, one fails": ("DataError", ()),
        "together, all fail": ("DataError", ()),
    }
    assert first_gpu == ("SetupError", ("ranks 0, 1 share a GPU; start one process a GPU, or use --device cpu",))
    assert second_gpu == ("SetupError", ())


def test_a_first_process_that_is_not_there_is_named(port: int) -> None:
    world = World(rank=1, size=2, local_rank=1, local_size=2, by="srun", port=port)
    with pytest.raises(SetupError) as error, open_ranks(world, CPU, timeout=1):
        pass
    (line,) = error.value.problems
    assert line.startswith(f"rank 1 of 2 (srun): cannot meet the others at 127.0.0.1:{port}: ")
    assert "\n" not in line


class Deaf(Ranks):
    """One of two processes, without the other."""

    def mean(self, values: Tensor) -> Tensor:
        """Fail as gloo does."""
        raise RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:554] Connection closed by peer [127.0.0.1]:1. "
            "This may indicate a remote worker crash\nat some place"
        )


def test_a_broken_connection_is_one_line_with_rank_step_and_phase() -> None:
    deaf = Deaf(World(rank=1, size=2, by="vf"))
    with pytest.raises(RunError) as error, naming_lost_contact(deaf, lambda: "step 7, backward"):
        deaf.mean(torch.ones(1))
    assert error.value.problems == (
        "rank 1: step 7, backward: lost contact with another process: Connection closed by peer [127.0.0.1]:1",
    )


@pytest.mark.parametrize("world", [World(), World(rank=1, size=2)])
def test_other_errors_stay_what_they_are(world: World) -> None:
    with pytest.raises(RuntimeError, match=r"^shapes do not match$"), naming_lost_contact(Ranks(world), lambda: ""):
        raise RuntimeError("shapes do not match")
    with pytest.raises(ConfigError, match=r"^x$"), naming_lost_contact(Ranks(world), lambda: ""):
        raise ConfigError("x")
