"""A trial that is several trainings, as one for each fold or seed: its values are their means."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aelab.core.errors import AelabError, ConfigurationError, SweepError
from aelab.sweeps.messages import RunKnown, TrialCompleted, TrialFacts
from aelab.sweeps.search_space import override_text
from aelab.sweeps.trial import Assignment, assigning
from aelab.training.callbacks.study_reporter import Pruned, RunStarted, StudyChannel, ValidationReport

Overrides = tuple[str, ...]


def repeat_overrides(node: Mapping[str, Any], taken: Sequence[str]) -> tuple[Overrides, ...]:
    """The overrides of each training of a trial, from `sweep.over`; none where that is empty.

    node: values by option; null takes an option out again that an experiment has.
    taken: options that have their values already.

    Raises ConfigurationError for what is no list of different values, and for an option in `taken`.
    """
    node = {name: values for name, values in node.items() if values is not None}
    for name, values in node.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigurationError(f"sweep.over: {name}={values}: give a list of values, as [0, 1, 2]")
        if len(set(map(override_text, values))) < len(values):
            raise ConfigurationError(f"sweep.over: {name} has a value twice in {override_text(values)}")
        if name in taken:
            raise ConfigurationError(
                f"sweep.over: {name} has its values on the command line or in sweep.space already"
            )
    options = [[f"{name}={override_text(value)}" for value in values] for name, values in node.items()]
    return tuple(itertools.product(*options)) if options else ()


def standard_error(values: Sequence[float]) -> float | None:
    """The standard error of the mean of independent values; None for a single one."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


@dataclass
class Repeats:
    """The trainings of one trial, as the `StudyChannel` of each: their results are kept for the means.

    runs: the folders of the trainings, those of earlier attempts included.
    known: how many of the trainings another run had done already.
    values: of the objectives, a mapping for each training that is done.
    measured: all validation numbers by name, in the order of the trainings.
    """

    channel: StudyChannel
    runs: list[str] = field(default_factory=list)
    known: int = 0
    values: list[Mapping[str, float]] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def send(self, message: Any, /) -> None:
        """Keep what a training has found; its run folder goes on to the study."""
        match message:
            case TrialCompleted(values):
                self.values.append(values)
            case TrialFacts(facts):
                for name, found in facts["measured"].items():
                    self.measured.setdefault(name, []).extend(found)
            case RunStarted(folder) | RunKnown(folder):
                self.known += isinstance(message, RunKnown)
                self.runs = list(dict.fromkeys([*self.runs, folder]))
                self.channel.send(TrialFacts({"run": folder, "runs": self.runs}))
            case _:
                raise TypeError(f"{message} is no message of a training that is repeated")

    def recv(self) -> Any:
        """No answer: a trial is pruned between two trainings, never within one."""
        raise EOFError

    def mean(self, name: str) -> float:
        """The mean of an objective over the trainings that are done."""
        return statistics.fmean(found[name] for found in self.values)

    def errors(self) -> dict[str, float]:
        """The standard errors of the objectives' means, where there are several trainings."""
        each = {name: standard_error([found[name] for found in self.values]) for name in self.values[0]}
        return {name: error for name, error in each.items() if error is not None}


def train_repeats(
    trainings: Sequence[Overrides], assignment: Assignment, train: Callable[[Overrides], None]
) -> None:
    """Train under each of the overrides in turn and send the study the means of what they found.

    Raises SweepError naming the training that failed, and Pruned where the study prunes the trial after one.
    """
    repeats = Repeats(assignment.channel, list(assignment.continues))
    for done, overrides in enumerate(trainings, 1):
        print(f"training {done} of {len(trainings)}: {' '.join(overrides)}", flush=True)
        with assigning(replace(assignment, channel=repeats, prunes=False)), _naming(overrides):
            train(overrides)
        if assignment.prunes and done < len(trainings):
            _check_pruned(assignment.channel, repeats, done)
    facts = {"measured": repeats.measured, "errors": repeats.errors(), "judged": list(repeats.values[0])}
    assignment.channel.send(TrialFacts({**facts, "known": repeats.known == len(trainings)}))
    assignment.channel.send(TrialCompleted({name: repeats.mean(name) for name in repeats.values[0]}))


def _check_pruned(channel: StudyChannel, repeats: Repeats, done: int) -> None:
    name, is_pruned = next(iter(repeats.values[0])), False
    with suppress(OSError, EOFError):  # a study that is gone has sent a signal
        channel.send(ValidationReport(done, repeats.mean(name)))
        is_pruned = bool(channel.recv())
    if is_pruned:
        raise Pruned(f"{name}={repeats.mean(name):.6g} on average of {done} trainings is not promising")


@contextmanager
def _naming(overrides: Overrides) -> Iterator[None]:
    """Name the overrides in the errors of the training inside."""
    try:
        yield
    except AelabError as error:
        raise SweepError(f"with {' '.join(overrides)}: {type(error).__name__}: {error}") from error
