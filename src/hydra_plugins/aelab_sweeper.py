"""Hydra's door to our sweeps; all else is in `aelab.sweeps`, which is imported when a sweep begins."""

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class AelabSweeperConf:
    """`hydra/sweeper=aelab`; its options are those of the group `sweep`."""

    _target_: str = "hydra_plugins.aelab_sweeper.AelabSweeper"


ConfigStore.instance().store(group="hydra/sweeper", name="aelab", node=AelabSweeperConf, provider="aelab")


class AelabSweeper(Sweeper):
    """Runs the trials of a study, each in a process of its own."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what a trial is composed and run with."""
        self._given = (hydra_context, config, task_function)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep that a command line (its overrides without Hydra's own) asks for."""
        from aelab.sweeps.hydra_jobs import HydraJobs
        from aelab.sweeps.sweep import sweep

        sweep(HydraJobs(*self._given), arguments)
