"""The command line of a sweep parsed into a plan, which is checked before anything starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig
from optuna.samplers import CmaEsSampler

from aelab.cluster.devices import processes
from aelab.config.compose import tells_of_sweeps
from aelab.core.errors import ConfigurationError
from aelab.core.paths import from_user
from aelab.sweeps.hydra_jobs import HydraJobs
from aelab.sweeps.plan import DIRECTIONS, Plan
from aelab.sweeps.preflight import check_trials
from aelab.sweeps.repeats import repeat_overrides
from aelab.sweeps.search_space import Choice, Space, extremes, space_of


def parse_plan(jobs: HydraJobs, arguments: Sequence[str]) -> Plan:
    """The checked plan of a sweep.

    Raises ConfigurationError, or what composing a trial raises, before anything has been written.
    """
    parsed = jobs.parse(arguments)
    overrides = [o for o in parsed if not tells_of_sweeps(o.get_key_element())]
    options = jobs.settings("sweep")
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
    config = jobs.config
    made = Plan(
        fixed,
        space,
        repeat_overrides(options["over"] or {}, taken),
        _asked_objectives(options["objectives"]),
        str(config.hydra.runtime.choices["sweep"]),
        options,
        jobs.settings("launcher"),
        from_user(str(config.outputs)),
    )
    _check(made)
    points = list(extremes(space)) or [{}]
    first, *others = [made.trainings(made.overrides(values)) for values in points]
    trainings = [*first, *(each[0] for each in others)]
    _check_experiments(jobs, space, trainings)
    made = replace(made, compositions=tuple(_composed(jobs, each) for each in trainings))
    made = replace(made, objectives=made.objectives or _monitored(made, len(first)))
    check_trials(made, made.compositions[: len(first)])
    return made


def _composed(jobs: HydraJobs, overrides: Sequence[str]) -> DictConfig:
    config = jobs.compose(overrides)
    if "members" in config.trainer:
        raise ConfigurationError(
            "trainer=vectorised is no trial of a study: leave out -m, or choose trainer=cpu"
        )
    if config.trainer.num_nodes != 1:
        raise ConfigurationError(
            f"a trial trains on one machine and trainer.num_nodes={config.trainer.num_nodes}: choose "
            "trainer.num_nodes=1, and start the same sweep on each machine"
        )
    processes(config.trainer)
    return config


def _check_experiments(jobs: HydraJobs, space: Space, trainings: Sequence[Sequence[str]]) -> None:
    """Refuse experiments that are varied and are studies themselves: what each varies would not be."""
    for overrides in trainings if any(p.name == "experiment" for p in space) else ():
        if any(jobs.load(overrides).sweep[key] for key in ("space", "over")):
            (which,) = (o for o in overrides if o.startswith("experiment="))
            raise ConfigurationError(f"{which} is a study of its own: start each with a command of its own")


def _asked_objectives(asked: Mapping[str, str] | None) -> dict[str, str]:
    for name, direction in (asked or {}).items():
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
    return dict(asked or {})


def _monitored(made: Plan, first: int) -> dict[str, str]:
    """What all trials choose their weights by; empty where a grid's trials choose by different numbers, or
    keep their last weights.

    first: how many of the compositions are the first trial's.
    """
    monitors = [(c.monitor.metric, DIRECTIONS[c.monitor.mode == "max"]) for c in made.compositions]
    last = None in dict(monitors)
    if len(set(monitors)) == 1 and not last:
        return dict(monitors)
    options = made.options
    if not made.is_grid or options["pruner"] or options["plot"] or len(set(monitors[:first])) > 1:
        if last:
            raise ConfigurationError(
                "monitor.metric=null says nothing of which trial is best: give sweep.objectives, as "
                "'sweep.objectives={val/elbo: maximize}'"
            )
        names = ", ".join(dict.fromkeys(str(name) for name, _ in monitors))
        raise ConfigurationError(
            f"these trainings choose their weights by {names}, which do not compare: give sweep.objectives, "
            "as 'sweep.objectives={val/distortion: minimize}'"
        )
    return {}


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
    made.sampler(), made.pruner()
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
    """Refuse choices and conditions for CMA-ES, which moves numbers: Optuna would draw these at random."""
    if not isinstance(made.sampler(), CmaEsSampler):
        return
    odd = [p.name for p in made.space if isinstance(p, Choice) or p.when]
    if odd or several:
        what = f"{', '.join(odd)} has choices or conditions" if odd else "there are several"
        raise ConfigurationError(f"sweep=cmaes moves numbers for one objective, and {what}: take sweep=tpe")
