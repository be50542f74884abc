"""Which of those started alike a process is, and how they agree on one run."""

import json
import threading
import time

import pytest
from omegaconf import OmegaConf

from aelab.cluster.ranks import World, is_slurm_step, world_of
from aelab.cluster.rendezvous import Rendezvous
from aelab.core.errors import ConfigurationError, RunError

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1",
    "RANK": "3", "LOCAL_RANK": "1", "GROUP_RANK": "1", "WORLD_SIZE": "4",
}  # fmt: skip
STEP = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"}
ADDRESS = {"MASTER_ADDR": "a", "MASTER_PORT": "1"}


def trainer(devices=2, nodes=2):
    return OmegaConf.create({"accelerator": "cpu", "devices": devices, "num_nodes": nodes})


def rendezvous(folder, rank, size=3, patience=20.0):
    return Rendezvous(World(rank, size, "group"), folder, patience)


@pytest.mark.parametrize(
    ("given", "rank", "size"),
    [
        (TORCHRUN, 3, 4),
        (STEP, 2, 4),
        ({**ADDRESS, "NODE_RANK": "1"}, 1, 2),  # Lightning starts the other process of each node
        ({**ADDRESS, "NODE_RANK": "1", "LOCAL_RANK": "0"}, 2, 4),
    ],
)
def test_a_process_knows_its_world(given, rank, size):
    world = world_of(trainer(), given)
    assert (world.rank, world.size) == (rank, size)


def test_groups_are_told_apart():
    others = [{**TORCHRUN, "MASTER_PORT": "2"}, {**TORCHRUN, "TORCHELASTIC_RESTART_COUNT": "1"}, STEP]
    others += [{**STEP, "SLURM_STEP_ID": "1"}, {**STEP, "SLURM_RESTART_COUNT": "1"}]
    groups = {world_of(trainer(), given).group for given in [TORCHRUN, *others]}
    assert len(groups) == 6
    assert world_of(trainer(), {**TORCHRUN, "RANK": "0"}).group == world_of(trainer(), TORCHRUN).group


def test_a_group_names_a_file():
    assert "/" not in world_of(trainer(), {**TORCHRUN, "TORCHELASTIC_RUN_ID": "../up"}).group


def test_a_process_alone_has_no_world():
    assert world_of(trainer(nodes=1), {}) is None
    # A batch script's own process has the job's tasks in its environment, and is none of them.
    batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "8", "SLURM_PROCID": "0"}
    assert world_of(trainer(devices=1, nodes=1), batch) is None
    assert not is_slurm_step(batch)
    assert world_of(trainer(nodes=1), {**STEP, "SLURM_STEP_NUM_TASKS": "1"}) is None


@pytest.mark.parametrize(
    ("given", "devices", "nodes", "words"),
    [
        (TORCHRUN, 2, 1, "torchrun started 4 processes"),
        (STEP, 1, 1, "srun started 4 processes"),
        ({}, 2, 2, "MASTER_ADDR, MASTER_PORT, NODE_RANK"),
        ({"LOCAL_RANK": "0"}, 2, 1, "unset it"),
        ({**ADDRESS, "NODE_RANK": "2"}, 2, 2, "this process 2"),
        ({**ADDRESS, "NODE_RANK": "0", "WORLD_SIZE": "8"}, 2, 2, "of 8"),
    ],
)
def test_processes_that_are_not_those_asked_for_are_refused(given, devices, nodes, words):
    with pytest.raises(ConfigurationError, match=words):
        world_of(trainer(devices, nodes), given)


def together(folder, lead):
    """The first process does `lead`; what each of the others hears, or why it gives up."""
    heard = {}

    def join(rank):
        try:
            heard[rank] = rendezvous(folder, rank).join()
        except RunError as error:
            heard[rank] = str(error)

    others = [threading.Thread(target=join, args=(rank,)) for rank in (1, 2)]
    for other in others:
        other.start()
    try:
        lead(rendezvous(folder, 0))
    finally:
        for other in others:
            other.join()
    return heard


def test_all_hear_of_the_same_run_and_nothing_is_left(tmp_path):
    heard = together(tmp_path / "meet", lambda first: first.announce(run="r", checkpoint=None))
    assert [heard[rank]["run"] for rank in (1, 2)] == ["r", "r"]
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_group_left_is_not_believed(tmp_path):
    (tmp_path / "group.json").write_text(json.dumps({"heard": {"1": "old", "2": "old"}, "run": "old"}))
    for rank in (1, 2):
        (tmp_path / f"group.rank-{rank}.json").write_text(json.dumps({"word": "old"}))
    heard = {}
    first = threading.Thread(target=lambda: rendezvous(tmp_path, 0).announce(run="new"))
    first.start()
    time.sleep(0.5)  # it answers the old questions
    others = [
        threading.Thread(target=lambda r=r: heard.update({r: rendezvous(tmp_path, r).join()})) for r in (1, 2)
    ]
    for other in others:
        other.start()
    for thread in (first, *others):
        thread.join()
    assert {word["run"] for word in heard.values()} == {"new"}


def test_a_refusal_is_told(tmp_path):
    def refuse(first):
        with pytest.raises(ConfigurationError), first.held():
            raise ConfigurationError("latent=0 is nothing")

    assert all("latent=0 is nothing" in why for why in together(tmp_path / "meet", refuse).values())


def test_a_run_that_is_done_already_is_told(tmp_path):
    def finished(first):
        with first.held():
            pass

    assert [word["run"] for word in together(tmp_path / "meet", finished).values()] == [None, None]


def test_nobody_waits_for_ever(tmp_path):
    with pytest.raises(RunError, match=r"process 1 of 3 waited 0\.3 s"):
        rendezvous(tmp_path / "meet", 1, patience=0.3).join()
    with pytest.raises(RunError, match=r"of 3 processes, 1, 2 did not come"):
        rendezvous(tmp_path / "meet", 0, patience=0.3).announce(run="r")
    assert list(tmp_path.iterdir()) == []
