"""Which of how many processes this one is, from the variables that launchers set."""

from __future__ import annotations

import pytest

from vf.errors import SetupError
from vf.world import ALONE, World, find_world, first_host

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "gpu1",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_PROCID": "3",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gpu[07-09],cpu1",
    "SLURM_JOB_ID": "12",
    "SLURM_STEP_ID": "0",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-host-12@1",
}
MPICH = {
    "PMI_RANK": "1",
    "PMI_SIZE": "2",
    "MPI_LOCALRANKID": "1",
    "MPI_LOCALNRANKS": "2",
    "MASTER_PORT": "29501",
}
SRUN_WORLD = World(rank=3, size=5, local_rank=1, local_size=2, by="srun", address="gpu07", port=34118)
MPI_WORLD = World(rank=1, size=2, local_rank=1, local_size=2, by="mpirun")


def world(base: dict[str, str], **changes: str | None) -> World:
    return find_world({key: value for key, value in {**base, **changes}.items() if value is not None})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (world({}), ALONE),
        (world({"RANK": "3"}), ALONE),
        (world({"RANK": "0", "WORLD_SIZE": "1"}), ALONE),
        (world(TORCHRUN), World(rank=3, size=4, local_rank=1, local_size=2, by="torchrun", address="gpu1", port=29500)),
        (world(TORCHRUN, TORCHELASTIC_RUN_ID="vf").by, "vf"),
        (world(TORCHRUN, TORCHELASTIC_RUN_ID="other").by, "torchrun"),
        (world(TORCHRUN, LOCAL_RANK=None, LOCAL_WORLD_SIZE=None).local_rank, 3),
        (world({**SRUN, **TORCHRUN}).by, "torchrun"),
        (world(SRUN), SRUN_WORLD),
        (world(SRUN, MASTER_ADDR="head", MASTER_PORT="7").address, "head"),
        (world(SRUN, MASTER_ADDR="head", MASTER_PORT="7").port, 7),
        (world(SRUN, SLURM_STEP_ID="1").port, 22832),
        (world(SRUN, SLURM_PROCID="4", SLURM_NODEID="2", SLURM_LOCALID="0").local_size, 1),
        (world(SRUN, SLURM_STEP_NUM_TASKS=None), ALONE),
        (world(SRUN, SLURM_STEP_NUM_TASKS="1", SLURM_PROCID="0", SLURM_LOCALID="0"), ALONE),
        (world(OPEN_MPI).port, 31184),
        (world(OPEN_MPI, MASTER_ADDR="head", MASTER_PORT="7").address, "head"),
        (world(OPEN_MPI, OMPI_COMM_WORLD_SIZE="1", OMPI_COMM_WORLD_RANK="0", OMPI_COMM_WORLD_LOCAL_RANK="0"), ALONE),
        (world(MPICH).port, 29501),
        (world(MPICH, MPI_LOCALRANKID=None, MPI_LOCALNRANKS=None).local_size, 2),
        (world(MPICH, PMI_SIZE="1", PMI_RANK="0", MPI_LOCALRANKID="0", MASTER_PORT=None), ALONE),
    ],
)
def test_a_launcher_is_recognised(found: object, expected: object) -> None:
    assert found == expected


def test_open_mpi_and_mpich_say_the_same_of_two_processes() -> None:
    for environment in (OPEN_MPI, MPICH):
        assert world({**environment, "MASTER_PORT": "0"}) == MPI_WORLD


CONTRADICTION = "these contradict each other; start all processes with one launcher"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({**TORCHRUN, "RANK": "4"}, f"torchrun: rank 4 of 4, local rank 1 of 2: {CONTRADICTION}"),
        ({**TORCHRUN, "LOCAL_RANK": "2"}, f"torchrun: rank 3 of 4, local rank 2 of 2: {CONTRADICTION}"),
        ({**TORCHRUN, "RANK": "-1"}, f"torchrun: rank -1 of 4, local rank 1 of 2: {CONTRADICTION}"),
        ({**TORCHRUN, "WORLD_SIZE": "1"}, f"torchrun: rank 3 of 1, local rank 1 of 2: {CONTRADICTION}"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, f"torchrun: rank 0 of 0, local rank 0 of 0: {CONTRADICTION}"),
        ({**SRUN, "SLURM_PROCID": "9"}, f"srun: rank 9 of 5, local rank 1 of 2: {CONTRADICTION}"),
        ({**OPEN_MPI, "OMPI_COMM_WORLD_RANK": "2"}, f"mpirun: rank 2 of 2, local rank 1 of 2: {CONTRADICTION}"),
        ({**TORCHRUN, "RANK": "x"}, "torchrun: expected a whole number in RANK, got 'x'"),
        ({**TORCHRUN, "LOCAL_RANK": ""}, "torchrun: expected a whole number in LOCAL_RANK, got ''"),
        ({**TORCHRUN, "MASTER_PORT": "http"}, "torchrun: expected a whole number in MASTER_PORT, got 'http'"),
        ({**SRUN, "SLURM_NODEID": "n1"}, "srun: expected a whole number in SLURM_NODEID, got 'n1'"),
        ({**SRUN, "SLURM_STEP_TASKS_PER_NODE": "2(y2)"}, "srun: expected tasks per node like '2(x3),1', got '2(y2)'"),
        ({**SRUN, "SLURM_STEP_NODELIST": "[1-2"}, "srun: expected a host list, got '[1-2'; set MASTER_ADDR"),
        (
            {key: value for key, value in SRUN.items() if key != "SLURM_LOCALID"},
            "srun: SLURM_LOCALID is not set, though others of its variables are",
        ),
        (
            {"OMPI_COMM_WORLD_RANK": "0"},
            "mpirun: OMPI_COMM_WORLD_SIZE is not set, though others of its variables are",
        ),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "7"},
            "RANK and WORLD_SIZE are set, but not MASTER_ADDR and MASTER_PORT; set all four, or use --nproc",
        ),
        (
            {**OPEN_MPI, "OMPI_COMM_WORLD_LOCAL_SIZE": "1", "OMPI_COMM_WORLD_LOCAL_RANK": "0"},
            "mpirun on several nodes: set MASTER_ADDR to the host of rank 0 (mpirun -x MASTER_ADDR=HOST)",
        ),
        (
            {key: value for key, value in MPICH.items() if key != "MASTER_PORT"},
            "mpirun: set MASTER_PORT to a free port of rank 0 (mpirun -env MASTER_PORT PORT)",
        ),
    ],
)
def test_what_cannot_be_is_said(environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(SetupError) as error:
        find_world(environment)
    assert error.value.problems == (sentence,)


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("gpu1", "gpu1"),
        ("gpu1,gpu2", "gpu1"),
        ("gpu[01-03,07]", "gpu01"),
        ("gpu[07,01-03]", "gpu07"),
        ("gpu[07-09,12],cpu1", "gpu07"),
        ("gpu[2-3].cluster.org,gpu9", "gpu2.cluster.org"),
        ("rack[1-2]node[04-05]", "rack1node04"),
        ("10.0.0.[5-6]", "10.0.0.5"),
    ],
)
def test_the_first_of_slurms_hosts(nodes: str, host: str) -> None:
    assert first_host(nodes) == host


@pytest.mark.parametrize("nodes", ["", ",gpu1", "gpu[1-2", "gpu[]", "gpu1]"])
def test_a_host_list_that_is_none_is_said(nodes: str) -> None:
    with pytest.raises(SetupError) as error:
        first_host(nodes)
    assert error.value.problems == (f"srun: expected a host list, got {nodes!r}; set MASTER_ADDR",)


def test_a_world_for_people() -> None:
    assert str(ALONE) == "1 process"
    assert str(MPI_WORLD) == "2 processes, started by mpirun"
    assert (ALONE.first, MPI_WORLD.first) == (True, False)
