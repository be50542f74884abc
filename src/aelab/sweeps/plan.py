"""The plan of a study: what is varied, towards which objectives, and how each trial is composed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig

from aelab.cluster.devices import check_accelerator, processes, uses_gpus
from aelab.cluster.gpus import GpuPool, gpu_pool
from aelab.config.construct import construct
from aelab.sweeps.repeats import Overrides
from aelab.sweeps.search_space import Parameter, Space, as_plain, grid, is_whole

DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Plan:
    """A study as its command line describes it.

    fixed: the overrides that all trials share.  space: what is varied.
    over: the further overrides of each training of a trial; empty where a trial is one training.
    objectives: direction of each validation number; empty: each trial is judged by its own `monitor`, and
        none is best.  method: the choice of the group `sweep`.
    options: the group `sweep`.  launcher: the group `launcher`.  outputs: where run folders are made.
    compositions: configurations of trainings, in which each choice occurs; all of the first trial come first.
    """

    fixed: tuple[str, ...]
    space: Space
    over: tuple[Overrides, ...]
    objectives: Mapping[str, str]
    method: str
    options: Mapping[str, Any]
    launcher: Mapping[str, Any]
    outputs: Path
    compositions: tuple[DictConfig, ...] = ()

    @property
    def ranks(self) -> int:
        """The largest number of processes of a trial."""
        return max(processes(config.trainer) for config in self.compositions)

    @property
    def gpus_each(self) -> int:
        """The largest number of GPUs of a trial; 0 where all compute on the CPU."""
        on_gpus = (config.trainer for config in self.compositions if uses_gpus(config.trainer))
        return max(map(processes, on_gpus), default=0)

    @property
    def is_grid(self) -> bool:
        """Whether every combination is tried."""
        return self.options["sampler"] is None

    def points(self) -> list[list[str]]:
        """The overrides of a grid's trials."""
        return [self.overrides(values) for values in grid(self.space)]

    def overrides(self, values: Mapping[str, str]) -> list[str]:
        """All overrides of a trial with these values."""
        return [*self.fixed, *(f"{name}={value}" for name, value in values.items())]

    def trainings(self, overrides: Sequence[str]) -> list[Overrides]:
        """The overrides of each training of a trial of these overrides."""
        return [(*overrides, *more) for more in self.over or ((),)]

    def final_training(self, overrides: Sequence[str]) -> list[str]:
        """The overrides of the training that a trial stands for: on all images where the trial had folds."""
        if not any(override.startswith("data.fold=") for more in self.over for override in more):
            return self.single_training(overrides)
        kept = [o for o in overrides if not o.startswith("data.folds=")]
        return self.single_training([*kept, "data.folds=null"])

    def single_training(self, overrides: Sequence[str]) -> list[str]:
        """The overrides that make one training outside of the study."""
        # An experiment may be a whole study, which begins without -m; this is one training of it.
        whole = any(o.startswith("experiment=") for o in self.fixed)
        return [*overrides, *(["hydra.mode=RUN"] if whole else [])]

    @property
    def plotted(self) -> Parameter | None:
        """The parameter that the objectives are plotted against; None where there is none."""
        found = (p for p in self.space if p.name == self.options["plot"] and is_whole(p) is not None)
        return next(found, None)

    @property
    def question(self) -> dict[str, Any]:
        """All that decides the values of the study's trials, but for the points of a grid, which may grow."""
        whole = self.full_question
        return {key: whole[key] for key in whole if key != "space" or not self.is_grid}

    @property
    def full_question(self) -> dict[str, Any]:
        """All that decides the values of the study's trials, with the points of a grid."""
        return {
            "overrides": list(self.fixed),
            "objectives": dict(self.objectives),
            "space": as_plain(self.space),
            **({"over": [list(more) for more in self.over]} if self.over else {}),
        }

    def sampler(self) -> optuna.samplers.BaseSampler | None:
        """The sampler; None for a grid."""
        return construct(self.options["sampler"], "sweep.sampler")

    def gpu_pool(self) -> GpuPool | None:
        """A new pool of this machine's GPUs; None where trials compute on the CPU.

        Raises ConfigurationError where there are none, or too few for all workers.
        """
        for config in self.compositions:
            check_accelerator(config.trainer)
        return gpu_pool(self.options["workers"], self.gpus_each) if self.gpus_each else None

    def pruner(self) -> optuna.pruners.BasePruner:
        """The pruner, or one that lets every trial run."""
        return construct(self.options["pruner"], "sweep.pruner") or optuna.pruners.NopPruner()
