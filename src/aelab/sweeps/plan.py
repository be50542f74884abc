"""What a sweep's command line asks, checked before anything starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig

from aelab.composition import SWEEPS
from aelab.errors import ConfigurationError
from aelab.runs.devices import processes, uses_gpus
from aelab.sweeps.gpus import Gpus, gpus_for
from aelab.sweeps.job import Composer
from aelab.sweeps.search_space import Choice, Space, described, edges, grid, space_of

DIRECTIONS = ("minimize", "maximize")


@dataclass(frozen=True)
class Plan:
    """A sweep that can begin.

    fixed: the overrides that all trials share.  space: what is varied.
    objectives: direction of each validation number.  method: the choice of the group `sweep`.
    options: the group `sweep`.  launcher: the group `launcher`.  outputs: where run folders are made.
    ranks: the most processes of a trial.  gpus_each: the most GPUs of a trial.
    """

    fixed: tuple[str, ...]
    space: Space
    objectives: Mapping[str, str]
    method: str
    options: Mapping[str, Any]
    launcher: Mapping[str, Any]
    outputs: Path
    ranks: int = 1
    gpus_each: int = 0

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

    def alone(self, overrides: Sequence[str]) -> list[str]:
        """The overrides that make a trial's training outside of the study."""
        # An experiment may be a whole study, which begins without -m; this is one training of it.
        whole = any(o.startswith("experiment=") for o in self.fixed)
        return [*overrides, *(["hydra.mode=RUN"] if whole else [])]

    @property
    def question(self) -> dict[str, Any]:
        """What decides the values of the study's trials; a grid may grow."""
        fixed = {"overrides": list(self.fixed), "objectives": dict(self.objectives)}
        return fixed if self.is_grid else self.whole_question

    @property
    def whole_question(self) -> dict[str, Any]:
        """The same with the whole of a grid."""
        return {
            "overrides": list(self.fixed),
            "objectives": dict(self.objectives),
            "space": described(self.space),
        }

    def sampler(self) -> optuna.samplers.BaseSampler | None:
        """The sampler; None for a grid."""
        return instantiate(self.options["sampler"])

    def gpus(self) -> Gpus | None:
        """This machine's GPUs to deal out to trials, a fresh hand; None where they compute on the CPU.

        Raises ConfigurationError where there are too few for all workers.
        """
        return gpus_for(self.options["workers"], self.gpus_each) if self.gpus_each else None

    def pruner(self) -> optuna.pruners.BasePruner:
        """The pruner, or one that lets every trial run."""
        return instantiate(self.options["pruner"]) or optuna.pruners.NopPruner()


def plan(composer: Composer, arguments: Sequence[str]) -> Plan:
    """Read and check a sweep.

    Raises ConfigurationError, or what composing a trial raises, before anything has been written.
    """
    parsed = composer.parse(arguments)
    overrides = [o for o in parsed if re.split(r"[./@]", o.get_key_element().lstrip("+~"))[0] not in SWEEPS]
    options = composer.settings("sweep")
    for override in parsed:
        if override.is_sweep_override() and override not in overrides:
            raise ConfigurationError(f"{override.input_line}: a study has one sweep: give one value")
    swept = [o for o in overrides if o.is_sweep_override()]
    fixed = tuple(str(o.input_line) for o in overrides if not o.is_sweep_override())
    if any(o.startswith("resume=") for o in (*fixed, *(s.get_key_element() + "=" for s in swept))):
        raise ConfigurationError("resume= continues one run: start a sweep again and it continues its own")
    space = space_of(options["space"], swept)
    config = composer.config
    made = Plan(
        fixed,
        space,
        _objectives(options["objectives"], config),
        str(config.hydra.runtime.choices["sweep"]),
        options,
        composer.settings("launcher"),
        Path(str(config.outputs)),
    )
    _check(made)
    points = edges(space) if space else [{}]
    trainers = [composer.check(made.overrides(values)).trainer for values in points]
    ranks = [_ranks(trainer) for trainer in trainers]
    on_gpus = [count for count, trainer in zip(ranks, trainers, strict=True) if uses_gpus(trainer)]
    return replace(made, ranks=max(ranks), gpus_each=max(on_gpus, default=0))


def _ranks(trainer: DictConfig) -> int:
    """The processes of a trial."""
    if trainer.num_nodes != 1:
        raise ConfigurationError(
            f"a trial trains on one machine and trainer.num_nodes={trainer.num_nodes}: choose "
            "trainer.num_nodes=1, and start the same sweep on each machine"
        )
    return processes(trainer)


def _objectives(asked: Mapping[str, str] | None, config: DictConfig) -> dict[str, str]:
    if not asked:
        return {str(config.monitor.metric): DIRECTIONS[config.monitor.mode == "max"]}
    for name, direction in asked.items():
        if name.startswith("test/"):
            raise ConfigurationError(
                f"sweep.objectives: {name} is of the test split, which chooses nothing: take "
                f"val/{name.removeprefix('test/')}"
            )
        if not name.startswith("val/") or direction not in DIRECTIONS:
            raise ConfigurationError(
                f"sweep.objectives: {name}: {direction} must be a validation number, as val/elbo, and "
                "minimize or maximize"
            )
    return dict(asked)


def _check(made: Plan) -> None:
    options = made.options
    for name, least in (("workers", 1), ("retries", 0)):
        if not isinstance(options[name], int) or options[name] < least:
            raise ConfigurationError(f"sweep.{name}={options[name]} must be a whole number from {least}")
    several = len(made.objectives) > 1
    if options["pruner"] and several:
        raise ConfigurationError("sweep/pruner: trials of several objectives cannot be pruned")
    if made.is_grid:
        made.points()
        if options["trials"] is not None:
            raise ConfigurationError("sweep.trials: a grid tries every combination: leave it out")
        return
    if not made.space:
        raise ConfigurationError(
            f"sweep={made.method} has nothing to vary: give sweep.space, "
            "or 'optimizer.lr=interval(1e-4,1e-2)'"
        )
    if not isinstance(options["trials"], int) or options["trials"] < 1:
        raise ConfigurationError(f"sweep.trials={options['trials']} must be a whole number from 1")
    _check_cmaes(made, several)
    for kind in (made.sampler, made.pruner):
        try:
            kind()
        except HydraException as error:
            raise ConfigurationError(f"sweep={made.method}: {' '.join(str(error).split())}") from error


def _check_cmaes(made: Plan, several: bool) -> None:
    """CMA-ES knows numbers alone; Optuna would draw all else at random without a word."""
    if "CmaEs" not in made.options["sampler"]["_target_"]:
        return
    strangers = [p.name for p in made.space if isinstance(p, Choice) or p.when]
    if strangers or several:
        what = f"{', '.join(strangers)} has choices or conditions" if strangers else "there are several"
        raise ConfigurationError(f"sweep=cmaes moves numbers for one objective, and {what}: take sweep=tpe")
