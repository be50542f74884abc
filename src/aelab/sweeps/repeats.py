"""A trial that is several trainings, as one for each fold or seed: the study is told their means."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from aelab.core.errors import AelabError, ConfigurationError, SweepError
from aelab.sweeps.search_space import text
from aelab.sweeps.trial import Assignment, assigned
from aelab.training.callbacks.study import Pruned, Study

Overrides = tuple[str, ...]


def combinations(node: Mapping[str, Any], taken: Sequence[str]) -> tuple[Overrides, ...]:
    """The overrides of each training of a trial, from `sweep.over`; none where that is empty.

    node: values by option; null takes an option out again that an experiment has.
    taken: options that have their values already.

    Raises ConfigurationError for what is no list of different values, and for an option in `taken`.
    """
    node = {name: values for name, values in node.items() if values is not None}
    for name, values in node.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigurationError(f"sweep.over: {name}={values}: give a list of values, as [0, 1, 2]")
        if len(set(map(text, values))) < len(values):
            raise ConfigurationError(f"sweep.over: {name} has a value twice in {text(values)}")
        if name in taken:
            raise ConfigurationError(
                f"sweep.over: {name} has its values on the command line or in sweep.space already"
            )
    options = [[f"{name}={text(value)}" for value in values] for name, values in node.items()]
    return tuple(itertools.product(*options)) if options else ()


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean of independent values; None for a single one."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


@dataclass
class Several:
    """Stands between a trial's trainings and its study: keeps what each has found.

    runs: the folders of the trainings, those of earlier attempts included.
    values: of the objectives, a mapping for each training that is done.
    measured: all validation numbers by name, in the order of the trainings.
    """

    study: Study
    runs: list[str] = field(default_factory=list)
    known: int = 0
    values: list[Mapping[str, float]] = field(default_factory=list)
    measured: dict[str, list[float]] = field(default_factory=dict)

    def send(self, obj: Any) -> None:
        """What a training tells."""
        kind, content = obj
        if kind == "end":
            self.values.append(content)
        elif kind == "note":
            for name, found in content["measured"].items():
                self.measured.setdefault(name, []).extend(found)
        else:
            self.known += kind == "known"
            self.runs = list(dict.fromkeys([*self.runs, content]))
            self.study.send(("note", {"run": content, "runs": self.runs}))

    def recv(self) -> Any:
        """A training is never ended by the study: whether the trial is, is asked between two of them."""
        raise EOFError

    def mean(self, name: str) -> float:
        """Of an objective, over the trainings that are done."""
        return statistics.fmean(found[name] for found in self.values)

    def errors(self) -> dict[str, float]:
        """The standard errors of the objectives' means, where there are several trainings."""
        each = {name: standard_error([found[name] for found in self.values]) for name in self.values[0]}
        return {name: error for name, error in each.items() if error is not None}


def train_over(
    trainings: Sequence[Overrides], assignment: Assignment, train: Callable[[Overrides], None]
) -> None:
    """Train under each of the overrides in turn and tell the study the means of what they found.

    Raises SweepError naming the training that failed, and Pruned where the study has seen enough after one.
    """
    several = Several(assignment.study, list(assignment.continues))
    for done, overrides in enumerate(trainings, 1):
        print(f"training {done} of {len(trainings)}: {' '.join(overrides)}", flush=True)
        with assigned(replace(assignment, study=several, prunes=False)), _named(overrides):
            train(overrides)
        if assignment.prunes and done < len(trainings):
            _ask(assignment, several, done)
    facts = {"measured": several.measured, "errors": several.errors()}
    assignment.study.send(("note", {**facts, "known": several.known == len(trainings)}))
    assignment.study.send(("end", {name: several.mean(name) for name in several.values[0]}))


def _ask(assignment: Assignment, several: Several, done: int) -> None:
    name, enough = next(iter(several.values[0])), False
    with suppress(OSError, EOFError):  # a study that is gone has sent a signal
        assignment.study.send(("report", done, several.mean(name)))
        enough = bool(assignment.study.recv())
    if enough:
        raise Pruned(f"{name}={several.mean(name):.6g} on average of {done} trainings is not promising")


@contextmanager
def _named(overrides: Overrides) -> Iterator[None]:
    try:
        yield
    except AelabError as error:
        raise SweepError(f"with {' '.join(overrides)}: {type(error).__name__}: {error}") from error
