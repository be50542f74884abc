"""The ranks of processes that torchrun, Slurm or a user's own script started to train together.

Lightning starts the further processes of one machine itself. All others are started with the same command and
find by their environment which of them they are.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from lightning_fabric.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from omegaconf import DictConfig

from aelab.cluster.devices import processes, world_size
from aelab.core.errors import ConfigurationError

ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
TORCHRUN = ("TORCHELASTIC_RUN_ID", *ADDRESS, "TORCHELASTIC_RESTART_COUNT")
SLURM = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
SLURM_TASKS = ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS")

VARIABLES = (*ADDRESS, "RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
"""The variables that starters of any kind, Lightning's own among them, leave in the environment."""


@dataclass(frozen=True)
class World:
    """The processes that were started alike, as one of them sees them.

    rank: of this one, from 0.  size: how many there are.
    group: a name that all of them know and no other group has.
    """

    rank: int
    size: int
    group: str


def world_of(trainer: DictConfig, given: Mapping[str, str] = os.environ) -> World | None:
    """The world of this process by the environment that its starter gave it; None where it was started alone.

    trainer: the node of that name.

    Raises ConfigurationError where the devices and nodes of `trainer` are not the processes that there are.
    """
    if "TORCHELASTIC_RUN_ID" in given:
        world = World(int(given["RANK"]), int(given["WORLD_SIZE"]), _name("torchrun", TORCHRUN, given))
        starter = "torchrun"
    elif is_slurm_step(given):
        world = World(int(given["SLURM_PROCID"]), _tasks(given), _name("slurm", SLURM, given))
        starter = "srun"
    elif "LOCAL_RANK" in given or trainer.num_nodes > 1:
        return _by_address(trainer, given)
    else:
        return None
    asked, nodes = world_size(trainer), trainer.num_nodes
    if asked != world.size:
        raise ConfigurationError(
            f"{starter} started {world.size} processes, and trainer.devices={trainer.devices} on "
            f"trainer.num_nodes={nodes} makes {asked}: give trainer=ddp, and a device to each process"
        )
    return world if world.size > 1 else None


def cluster_environment() -> ClusterEnvironment:
    """Lightning's source of the ranks, chosen as `world_of` chooses.

    Slurm's handlers of signals stay off: our own handler saves a resume point at the one that Slurm sends.
    """
    if TorchElasticEnvironment.detect():
        return TorchElasticEnvironment()
    if is_slurm_step(os.environ):
        return Slurm(auto_requeue=False)
    return LightningEnvironment()


class Slurm(SLURMEnvironment):
    """Slurm's tasks as ranks; Lightning refuses those of a plain `srun -n`, which `world_of` has counted."""

    @staticmethod
    def _validate_srun_variables() -> None:
        pass

    def world_size(self) -> int:
        return _tasks(os.environ)

    def validate_settings(self, num_devices: int, num_nodes: int) -> None:
        pass


def is_slurm_step(given: Mapping[str, str]) -> bool:
    """Whether srun started this process as one of several; a batch script's own process is no step."""
    return "SLURM_STEP_ID" in given and "SLURM_PROCID" in given and _tasks(given) > 1


def forget_ranks() -> None:
    """Remove a starter's ranks from the environment of a process that trains apart from the others."""
    for name in (*TORCHRUN, *VARIABLES, "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS"):
        os.environ.pop(name, None)


def _by_address(trainer: DictConfig, given: Mapping[str, str]) -> World | None:
    """The world by the variables that Lightning reads where nobody else starts its processes."""
    missing = [name for name in (*ADDRESS, "NODE_RANK") if name not in given]
    if trainer.num_nodes == 1:
        missing = [name for name in missing if name != "NODE_RANK"]
    if missing:
        raise ConfigurationError(
            f"trainer.num_nodes={trainer.num_nodes}, and nothing says where the other processes are: start "
            f"all by torchrun or srun, or give {', '.join(missing)} in the environment"
            if trainer.num_nodes > 1
            else f"LOCAL_RANK is in the environment without {', '.join(missing)}: give these too, or unset it"
        )
    each, nodes = processes(trainer), int(trainer.num_nodes)
    node, group = int(given.get("NODE_RANK", 0)), _name("address", ADDRESS, given)
    if "LOCAL_RANK" not in given:  # one process for each node was started, which starts those beside it
        rank, size = node, nodes
    else:
        rank, size = node * each + int(given["LOCAL_RANK"]), nodes * each
    total = int(given.get("WORLD_SIZE", nodes * each))
    if rank >= size or total != nodes * each:
        raise ConfigurationError(
            f"the environment makes this process {rank} of {total}, and trainer.devices={trainer.devices} on "
            f"trainer.num_nodes={nodes} makes {nodes * each}: give the same to both"
        )
    return World(rank, size, group) if size > 1 else None


def _tasks(given: Mapping[str, str]) -> int:
    return int(next((given[name] for name in SLURM_TASKS if name in given), 1))


def _name(starter: str, variables: tuple[str, ...], given: Mapping[str, str]) -> str:
    return re.sub(r"[^\w.-]", "_", "-".join([starter, *(given.get(name, "0") for name in variables)]))
