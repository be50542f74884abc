"""Configurations built before their study begins: what they measure, and how much they will compute."""

import math
import multiprocessing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf

from aelab.config.construct import construct
from aelab.config.recorded import leaves
from aelab.core.errors import AelabError, ConfigurationError, SweepError
from aelab.data.held_out import HeldOut
from aelab.data.module import DataModule
from aelab.runs.build import build, measured
from aelab.sweeps.plan import Plan
from aelab.sweeps.search_space import is_whole
from aelab.training.loop import limited

T = TypeVar("T")


@dataclass(frozen=True)
class Preflight:
    """The facts of a training that are known before it begins.

    measured: the names of its validation numbers.
    images: how many training images it will be shown; None where it has no planned end.
    flops_per_image: of a training step; None where it cannot be counted.
    """

    measured: tuple[str, ...]
    images: int | None
    flops_per_image: int | None


def preflights(configs: Sequence[DictConfig], fetch: bool) -> list[Preflight]:
    """The preflight of each configuration, built in a process of its own: this one is to be forked later.

    fetch: whether data that are not on this machine may be downloaded.

    Raises AelabError, of the kind and with the sentence of the first configuration that cannot be built.
    """
    return _in_fork(lambda: _build_all(configs, fetch))


def _build_all(configs: Sequence[DictConfig], fetch: bool) -> list[Preflight]:
    read: tuple[Any, DataModule] | None = None
    found = []
    for config in configs:
        if read is None or read[0] != config.data:
            read = config.data, construct(config.data, "data")
        data = read[1]
        if not fetch:
            data.setup()  # which raises where files are missing
        parts = build(config, data)
        names = tuple(measured(parts.training, data.val_examples(2)))
        found.append(Preflight(names, _planned(config, data), parts.flops_per_image))
    return found


def _planned(config: DictConfig, data: DataModule) -> int | None:
    """The training images that will be shown if nothing ends the training early."""
    trainer = config.trainer
    batches = limited(len(data.train_dataloader()), trainer.limit_train_batches)
    per_epoch = min(batches * data.batch_size, len(data.observations("train")))
    ends = []
    if trainer.max_epochs is not None and trainer.max_epochs >= 0:
        ends.append(trainer.max_epochs * per_epoch)
    if trainer.max_steps >= 0:
        ends.append(trainer.max_steps * config.training.accumulate_grad_batches * data.batch_size)
    return min(ends, default=None)


def _in_fork(work: Callable[[], T]) -> T:
    """The result of `work` in a forked process, with which the threads end that it starts."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=_send_result, args=(work, theirs))
    process.start()
    theirs.close()
    try:
        answer: Any = ours.recv()
    except EOFError:
        process.join()
        answer = SweepError(f"the first trial's model cannot be built: exit code {process.exitcode}")
    process.join()
    if isinstance(answer, AelabError):
        raise answer
    return answer


def _send_result(work: Callable[[], Any], connection: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    try:
        connection.send(work())
    except AelabError as error:
        connection.send(error)


def evenly_spread(count: int, most: int) -> list[int]:
    """At most `most` of `count` indices, evenly spread."""
    step = max(1, math.ceil(count / most))
    return list(range(0, count, step))


def check_trials(plan: Plan, first: Sequence[DictConfig]) -> None:
    """Raise ConfigurationError for a plot, folds or objectives that the trials cannot have.

    first: the configurations of the first trial.
    """
    _check_plot(plan)
    for config in first if plan.over else ():
        HeldOut(config.data.validation, config.data.get("folds"), config.data.get("fold", 0))
    if plan.options["objectives"]:
        _check_measured(plan)


def _check_plot(plan: Plan) -> None:
    name = plan.options["plot"]
    if name is not None and plan.plotted is None:
        numbers = [p.name for p in plan.space if is_whole(p) is not None]
        raise ConfigurationError(
            f"sweep.plot={name} is no number that this study varies: "
            + (f"choose one of {', '.join(numbers)}" if numbers else "leave it out")
        )


def _check_measured(plan: Plan) -> None:
    """Refuse an objective that one of the models does not measure; any other error is its trial's own."""
    for config in {_targets(config): config for config in reversed(plan.compositions)}.values():
        try:
            (found,) = preflights([config], fetch=not plan.options["dry_run"])
        except AelabError:
            continue
        for name in plan.objectives:
            if name not in found.measured:
                raise ConfigurationError(
                    f"sweep.objectives: {name} is not measured for this model ({config.name}): choose one of "
                    f"{', '.join(found.measured)}"
                )


def _targets(config: DictConfig) -> tuple[str, ...]:
    return tuple(value for key, value in leaves(OmegaConf.to_container(config)) if key == "_target_")
