"""A number with its uncertainty: what every part of an evaluation gives."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity

Statistic = Callable[[np.ndarray], float]
Seed = int | np.random.Generator


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its uncertainty: the value of a quantity, from `count` observations.

    error: its standard error; interval: its 95 % confidence interval; None where it has the other, or none.
    note: how it was estimated, where the name does not say so.
    """

    value: float
    quantity: Quantity
    count: int
    error: float | None = None
    interval: tuple[float, float] | None = None
    note: str = ""


def named(*estimates: Estimate) -> dict[str, Estimate]:
    """Estimates by the names of their quantities."""
    return {estimate.quantity.name: estimate for estimate in estimates}


def served(
    measures: Mapping[str, Callable[[], Estimate | Iterable[Estimate]]],
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """What the measures give, by the names of quantities, and why some refuse, by their own names."""
    found: dict[str, Estimate] = {}
    refused: dict[str, str] = {}
    for name, measure in measures.items():
        try:
            values = measure()
        except InapplicableError as error:
            refused[name] = str(error)
            continue
        found |= named(values) if isinstance(values, Estimate) else named(*values)
    return found, refused


def mean(values: np.ndarray, quantity: Quantity, note: str = "") -> Estimate:
    """The mean of independent values (N,), with its standard error, in float64.

    >>> found = mean(np.array([1.0, 3.0]), Quantity("mse", "squared error"))
    >>> found.value, found.error
    (2.0, 1.0)
    """
    values = np.asarray(values, dtype=np.float64)
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return Estimate(float(values.mean()), quantity, len(values), error, note=note)


def ratio(over: np.ndarray, under: np.ndarray, quantity: Quantity, note: str = "") -> Estimate:
    """The ratio of two sums over independent observations, (N,) each, with the standard error of the delta
    method.

    >>> found = ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0]), Quantity("cost", "nats per token"))
    >>> found.value, found.error
    (2.0, 0.0)
    """
    value = float(over.sum() / under.sum())
    error = mean((over - value * under) / under.mean(), quantity).error
    return Estimate(value, quantity, len(over), error, note=note)


def bootstrap(
    statistic: Statistic,
    count: int,
    quantity: Quantity,
    resamples: int = 200,
    seed: int = 0,
    note: str = "",
) -> Estimate:
    """A statistic of `count` observations with its 95 % percentile bootstrap interval (Efron 1979,
    https://doi.org/10.1214/aos/1176344552).

    statistic: of an index (count,) into the observations, with repetitions where it is resampled.

    One observation has no interval.

    >>> bootstrap(lambda index: float(len(index)), 20, Quantity("size", "images")).interval
    (20.0, 20.0)
    """
    from scipy.stats import bootstrap as resampled

    every = np.arange(count)
    if count < 2:
        return Estimate(float(statistic(every)), quantity, count, note=note)
    low, high = resampled(
        (every,),
        lambda index: statistic(index),
        n_resamples=resamples,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(float(statistic(every)), quantity, count, interval=(float(low), float(high)), note=note)


ROUGH = "the error is rough, and on the large side"  # of a jackknife of what is not smooth


def jackknife(
    statistic: Callable[..., np.ndarray | float], *counts: int, groups: int, seed: Seed
) -> np.ndarray:
    """Standard errors (S,) of a statistic of indices (n,) into each of several independent sets of
    observations, leaving out a random group of every set at a time (Tukey 1958,
    https://doi.org/10.1214/aoms/1177706647).

    A bootstrap would not do for what repetitions change: observations that are drawn twice add to mutual
    information, to what a learner finds and to near neighbours, so that its interval can miss the value
    itself. Errors are on the large side: by up to a half where parts compete or a distance is near to
    nothing, and by up to four fifths for shares of near neighbours.

    Raises InapplicableError for fewer than two observations of a set in each group.

    >>> float(jackknife(lambda index: np.ones(8)[index].mean(), 8, groups=4, seed=0))
    0.0
    """
    if min(counts) < 2 * groups:
        raise InapplicableError(f"{min(counts)} images are too few for an error: give {2 * groups} or more")
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(count) for count in counts]
    parts = zip(*(np.array_split(order, groups) for order in orders), strict=True)
    left = [
        statistic(*(np.setdiff1d(order, part) for order, part in zip(orders, each, strict=True)))
        for each in parts
    ]
    return np.array(left).std(axis=0) * (groups - 1) ** 0.5
