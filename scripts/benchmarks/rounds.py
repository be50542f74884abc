"""Measurements in rounds: contenders in random order, compared with a reference that is measured twice."""

import contextlib
import gc
import logging
import os
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch
from rich.table import Table

from benchmarks.hand import Composition

C = TypeVar("C", bound=Composition)
Rounds = Sequence[Mapping[str, float]]  # for each round, seconds for a step by contender

DISAGREEMENT, DRIFT = 0.10, 0.15  # of the reference: within the median round, between the rounds' quartiles


class Reference(NamedTuple):
    """What others are compared with: the names of the contender and of its second measurement."""

    first: str
    again: str

    def seconds(self, rounds: Rounds) -> list[float]:
        """For a step in each round: the mean of the two measurements."""
        return [(times[self.first] + times[self.again]) / 2 for times in rounds]

    def ratios(self, rounds: Rounds, name: str) -> list[float]:
        """Throughput of a contender in units of the reference's, in each round."""
        return [mine / times[name] for mine, times in zip(self.seconds(rounds), rounds, strict=True)]

    def noise(self, rounds: Rounds) -> list[str]:
        """Why it cannot be trusted; nothing where it can."""
        both = [(times[self.first], times[self.again]) for times in rounds]
        apart = statistics.median(abs(a - b) / min(a, b) for a, b in both)
        alike = sorted(self.seconds(rounds))
        low, _, high = statistics.quantiles(alike, method="inclusive") if len(alike) > 1 else alike * 3
        drift = (high - low) / statistics.median(alike)
        found = {
            f"{self.first}: its two measurements differ by {apart:.0%} in the median round": (
                apart > DISAGREEMENT
            ),
            f"{self.first}: its quartiles lie {drift:.0%} of its median apart": drift > DRIFT,
        }
        return [f"TOO NOISY TO TRUST: {reason}" for reason, true in found.items() if true]


def measure(
    contenders: Mapping[str, Callable[[C, int], float]], case: C, steps: int, dice: random.Random
) -> dict[str, float]:
    """One round: seconds for a step by contender, measured in random order."""
    order = list(contenders.items())
    dice.shuffle(order)
    found = {name: _alone(contender, case, steps) for name, contender in order}
    return {name: found[name] for name in contenders}


def _alone(contender: Callable[[C, int], float], case: C, steps: int) -> float:
    """A measurement that neither the settings nor the garbage of the one before reaches."""
    torch.use_deterministic_algorithms(False)
    torch.manual_seed(0)
    gc.collect()
    return contender(case, steps)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """What trainings print goes nowhere."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    with Path(os.devnull).open("w") as nowhere:
        try:
            with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
                yield
        finally:
            logging.disable(before)


def empty_table(first: str, of: str, title: str, *more: str) -> Table:
    """Columns for what is measured, its speed and its throughput `of` something, and `more`."""
    shown = Table(first, "CPU us/step", "images/CPU s", of, "min", "max", *more, title=title)
    for column in shown.columns[1:]:
        column.justify = "right"
    return shown


def cells(case: Composition, rounds: Rounds, name: str, reference: Reference) -> list[str]:
    """A contender's row of that table, without its name."""
    seconds = statistics.median(times[name] for times in rounds)
    share = reference.ratios(rounds, name)
    spread = (statistics.median(share), min(share), max(share))
    return [
        f"{1e6 * seconds:,.0f}",
        f"{case.batch_size / seconds:,.0f}",
        *(f"{value:.3f}" for value in spread),
    ]


def verdict(values: Sequence[float], target: float) -> str:
    return "reached" if statistics.median(values) >= target else "not reached"
