"""What a sweep's command line asks, checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from omegaconf import DictConfig

from aelab.cluster.devices import check_there, processes, uses_gpus
from aelab.cluster.gpus import Gpus, gpus_for
from aelab.config.construct import construct
from aelab.sweeps.repeats import Overrides
from aelab.sweeps.search_space import Parameter, Space, described, grid, is_whole

DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Plan:
    """A sweep that can begin.

    fixed: the overrides that all trials share.  space: what is varied.
    over: the further overrides of each training of a trial; none where a trial is one training.
    objectives: direction of each validation number.  method: the choice of the group `sweep`.
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
        """The most processes of a trial."""
        return max(processes(config.trainer) for config in self.compositions)

    @property
    def gpus_each(self) -> int:
        """The most GPUs of a trial; 0 where all compute on the CPU."""
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

    def chosen(self, overrides: Sequence[str]) -> list[str]:
        """The overrides of what the best trial is found for: a training on all images, where it had folds."""
        if not any(override.startswith("data.fold=") for more in self.over for override in more):
            return self.alone(overrides)
        return self.alone([*(o for o in overrides if not o.startswith("data.folds=")), "data.folds=null"])

    def alone(self, overrides: Sequence[str]) -> list[str]:
        """The overrides that make one training outside of the study."""
        # An experiment may be a whole study, which begins without -m; this is one training of it.
        whole = any(o.startswith("experiment=") for o in self.fixed)
        return [*overrides, *(["hydra.mode=RUN"] if whole else [])]

    @property
    def plotted(self) -> Parameter | None:
        """The number that the objectives are drawn against."""
        found = (p for p in self.space if p.name == self.options["plot"] and is_whole(p) is not None)
        return next(found, None)

    @property
    def question(self) -> dict[str, Any]:
        """What decides the values of the study's trials; a grid may grow."""
        whole = self.whole_question
        return {key: whole[key] for key in whole if key != "space" or not self.is_grid}

    @property
    def whole_question(self) -> dict[str, Any]:
        """The same with the whole of a grid."""
        return {
            "overrides": list(self.fixed),
            "objectives": dict(self.objectives),
            "space": described(self.space),
            **({"over": [list(more) for more in self.over]} if self.over else {}),
        }

    def sampler(self) -> optuna.samplers.BaseSampler | None:
        """The sampler; None for a grid."""
        return construct(self.options["sampler"], "sweep.sampler")

    def gpus(self) -> Gpus | None:
        """This machine's GPUs to deal out to trials, a fresh hand; None where they compute on the CPU.

        Raises ConfigurationError where there are none, or too few for all workers.
        """
        for config in self.compositions:
            check_there(config.trainer)
        return gpus_for(self.options["workers"], self.gpus_each) if self.gpus_each else None

    def pruner(self) -> optuna.pruners.BasePruner:
        """The pruner, or one that lets every trial run."""
        return construct(self.options["pruner"], "sweep.pruner") or optuna.pruners.NopPruner()
