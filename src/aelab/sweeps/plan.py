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

from aelab.composition import tells_of_sweeps
from aelab.errors import ConfigurationError
from aelab.locations import from_user
from aelab.runs.devices import check_there, processes, uses_gpus
from aelab.sweeps.first import check_first
from aelab.sweeps.gpus import Gpus, gpus_for
from aelab.sweeps.job import Composer
from aelab.sweeps.over import Overrides, combinations
from aelab.sweeps.search_space import Choice, Parameter, Space, described, edges, grid, is_whole, space_of

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
        return instantiate(self.options["sampler"])

    def gpus(self) -> Gpus | None:
        """This machine's GPUs to deal out to trials, a fresh hand; None where they compute on the CPU.

        Raises ConfigurationError where there are none, or too few for all workers.
        """
        for config in self.compositions:
            check_there(config.trainer)
        return gpus_for(self.options["workers"], self.gpus_each) if self.gpus_each else None

    def pruner(self) -> optuna.pruners.BasePruner:
        """The pruner, or one that lets every trial run."""
        return instantiate(self.options["pruner"]) or optuna.pruners.NopPruner()


def plan(composer: Composer, arguments: Sequence[str]) -> Plan:
    """Read and check a sweep.

    Raises ConfigurationError, or what composing a trial raises, before anything has been written.
    """
    parsed = composer.parse(arguments)
    overrides = [o for o in parsed if not tells_of_sweeps(o.get_key_element())]
    options = composer.settings("sweep")
    _check_shapes(options)
    for override in parsed:
        if override.is_sweep_override() and override not in overrides:
            raise ConfigurationError(f"{override.input_line}: a study has one sweep: give one value")
    swept = [o for o in overrides if o.is_sweep_override()]
    fixed = tuple(str(o.input_line) for o in overrides if not o.is_sweep_override())
    if any(o.startswith("resume=") for o in (*fixed, *(s.get_key_element() + "=" for s in swept))):
        raise ConfigurationError("resume= continues one run: start a sweep again and it continues its own")
    space = space_of(options["space"], swept)
    taken = [*(p.name for p in space), *(o.partition("=")[0] for o in fixed)]
    config = composer.config
    made = Plan(
        fixed,
        space,
        combinations(options["over"] or {}, taken),
        _objectives(options["objectives"], config),
        str(config.hydra.runtime.choices["sweep"]),
        options,
        composer.settings("launcher"),
        from_user(str(config.outputs)),
    )
    _check(made)
    points = list(edges(space)) or [{}]
    first, *others = [made.trainings(made.overrides(values)) for values in points]
    trainings = [*first, *(each[0] for each in others)]
    made = replace(made, compositions=tuple(_try(composer, each) for each in trainings))
    check_first(made, made.compositions[: len(first)])
    return made


def _try(composer: Composer, overrides: Sequence[str]) -> DictConfig:
    config = composer.check(overrides)
    if config.trainer.num_nodes != 1:
        raise ConfigurationError(
            f"a trial trains on one machine and trainer.num_nodes={config.trainer.num_nodes}: choose "
            "trainer.num_nodes=1, and start the same sweep on each machine"
        )
    processes(config.trainer)
    return config


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


def _check_shapes(options: Mapping[str, Any]) -> None:
    shapes = {"space": "{latent: [2, 8]}", "over": "{seed: [0, 1]}", "objectives": "{val/elbo: maximize}"}
    for name, example in shapes.items():
        if options[name] is not None and not isinstance(options[name], Mapping):
            raise ConfigurationError(f"sweep.{name}={options[name]} must be a mapping, as {example}")
    study = options["study"]
    if study is not None and not re.fullmatch(r"[\w+=,@-][\w.+=,@-]*", str(study)):
        raise ConfigurationError(
            f"sweep.study={study} names a folder: give letters, digits and -_.+=,@, not beginning with a dot"
        )


def _check(made: Plan) -> None:
    options = made.options
    for name, least in (("workers", 1), ("retries", 0)):
        if not isinstance(options[name], int) or options[name] < least:
            raise ConfigurationError(f"sweep.{name}={options[name]} must be a whole number from {least}")
    several = len(made.objectives) > 1
    if options["pruner"] and several:
        raise ConfigurationError("sweep/pruner: trials of several objectives cannot be pruned")
    for kind in (made.sampler, made.pruner):
        try:
            kind()
        except HydraException as error:
            raise ConfigurationError(f"sweep={made.method}: {' '.join(str(error).split())}") from error
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


def _check_cmaes(made: Plan, several: bool) -> None:
    """CMA-ES knows numbers alone; Optuna would draw all else at random without a word."""
    if "CmaEs" not in made.options["sampler"]["_target_"]:
        return
    strangers = [p.name for p in made.space if isinstance(p, Choice) or p.when]
    if strangers or several:
        what = f"{', '.join(strangers)} has choices or conditions" if strangers else "there are several"
        raise ConfigurationError(f"sweep=cmaes moves numbers for one objective, and {what}: take sweep=tpe")
