"""The statistics of one metric over the seeds of several groups."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

import numpy as np
from scipy.special import stdtr
from scipy.stats import rankdata, studentized_range

from aelab.comparison.base import MetricSummary, Repeat

Seeds = Mapping[Repeat, float]
RESAMPLES = 5_000
FEWEST = 3
"""Seeds below which no interval is given: the resamples of two are their two values and the middle."""


def summaries(
    groups: Mapping[str, Seeds],
    baseline: str,
    higher_is_better: bool | None,
    alpha: float = 0.05,
    lost: Mapping[str, int] | None = None,
) -> dict[str, MetricSummary]:
    """The summary of each group's values by seed; groups without a value are left out.

    p: of `paired` against the baseline, by Holm's correction for the other groups. best: see `best_of`; of a
    group that `lost` repetitions only the survivors are known, and so it is never best.
    """
    lost = lost or {}
    groups = {name: dict(sorted(seeds.items())) for name, seeds in groups.items() if seeds}
    means = {name: float(np.mean(list(seeds.values()))) for name, seeds in groups.items()}
    ranks = ranked(means, higher_is_better)
    corrected = against(groups, baseline)
    best = best_of(groups, means, higher_is_better, alpha)
    found = {}
    for name, seeds in groups.items():
        values = tuple(seeds.values())
        found[name] = MetricSummary(
            values=values,
            mean=means[name],
            deviation=float(np.std(values, ddof=1)) if len(values) > 1 else None,
            interval=interval(values),
            rank=ranks.get(name),
            p=corrected.get(name),
            best=name == best and not lost.get(name),
            lost=lost.get(name, 0),
            note="; ".join(_notes(len(values), lost.get(name, 0))),
        )
    return found


def _notes(seeds: int, lost: int) -> Iterator[str]:
    if seeds < FEWEST:
        yield f"no interval: {seeds} of {FEWEST} seeds"
    if lost:
        yield f"lost {lost}: of the others alone"


def interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean; None for fewer than three seeds.

    Efron 1979, https://doi.org/10.1214/aos/1176344552.

    With so few values it is too short: of three seeds it covers the mean in about 75 cases of 100.
    Corrections as BCa estimate skewness from the same few values and do no better there.
    """
    if len(values) < FEWEST:
        return None
    means = np.asarray(values)[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


@cache
def _resamples(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(count, size=(RESAMPLES, count))


def paired(first: Seeds, second: Seeds) -> float | None:
    """The p-value of the two-sided paired t-test over the seeds that both have.

    A seed fixes the order of the images and the noise, so runs are paired by it. The t-test is exact for
    normal differences from two seeds on. Wilcoxon's signed ranks and exact permutations assume less, but of n
    seeds their smallest p is 2^(1-n): with five or fewer they can never fall below 0.05.

    None for fewer than two shared seeds, and where all differences are equal but not zero: without any
    spread, as between counts, the result of another seed cannot be estimated.
    """
    differences = np.array([first[seed] - second[seed] for seed in first if seed in second])
    if len(differences) < 2:
        return None
    if not differences.any():
        return 1.0
    mean, spread = differences.mean(), differences.std(ddof=1)
    if spread <= 1e-12 * abs(mean):
        return None
    t = mean / (spread / len(differences) ** 0.5)
    return float(2 * stdtr(len(differences) - 1, -abs(t)))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """The p-values adjusted for their number by Holm's procedure, which holds for any dependence.

    Holm 1979, https://www.jstor.org/stable/4615733.
    """
    adjusted, largest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = largest
    return adjusted


def against(groups: Mapping[str, Seeds], baseline: str) -> dict[str, float]:
    """The corrected p-values of the groups that can be tested against the baseline."""
    if baseline not in groups:
        return {}
    others = {name: paired(seeds, groups[baseline]) for name, seeds in groups.items() if name != baseline}
    return holm({name: p for name, p in others.items() if p is not None})


def ranked(means: Mapping[str, float], higher_is_better: bool | None) -> dict[str, float]:
    """The ranks from 1, the best, averaged over ties; empty where neither direction is better."""
    if higher_is_better is None:
        return {}
    values = np.array(list(means.values()))
    return dict(zip(means, map(float, rankdata(-values if higher_is_better else values)), strict=True))


def mean_ranks(groups: Mapping[str, Seeds], higher_is_better: bool | None) -> tuple[dict[str, float], int]:
    """The mean rank of each group of several seeds over those that all of them share, and how many these are.

    Empty for fewer than three groups or two seeds, and where neither direction is better.
    """
    groups = {name: seeds for name, seeds in groups.items() if len(seeds) > 1}
    shared = set.intersection(*map(set, groups.values())) if groups else set()
    if higher_is_better is None or len(groups) < 3 or len(shared) < 2:
        return {}, len(shared)
    values = ({name: seeds[seed] for name, seeds in groups.items()} for seed in shared)
    each = [ranked(of_seed, higher_is_better) for of_seed in values]
    return {name: float(np.mean([ranks[name] for ranks in each])) for name in groups}, len(shared)


def critical_difference(groups: int, blocks: int, alpha: float) -> float:
    """The difference of two groups' mean ranks over `blocks` from which on they differ by Nemenyi's test.

    Demšar 2006, https://jmlr.org/papers/v7/demsar06a.html.

    >>> round(critical_difference(5, 30, 0.05), 2)
    1.11
    """
    q = float(studentized_range.ppf(1 - alpha, groups, np.inf)) / 2**0.5
    return q * (groups * (groups + 1) / (6 * blocks)) ** 0.5


def best_of(
    groups: Mapping[str, Seeds], means: Mapping[str, float], higher_is_better: bool | None, alpha: float
) -> str | None:
    """The group that is better than every other one, significantly; None where none is.

    Each of its paired tests must fall below alpha / (groups - 1). The leader was chosen by its values, so an
    uncorrected test would be too easily passed: to lead wrongly it has to beat the truly best group, and by
    this bound all candidates together do so with a probability of alpha at most.
    """
    if higher_is_better is None or len(groups) < 2:
        return None
    leader = (max if higher_is_better else min)(means, key=means.__getitem__)
    for name, seeds in groups.items():
        p = None if name == leader else paired(groups[leader], seeds)
        if name != leader and (p is None or p > alpha / (len(groups) - 1)):
            return None
    return leader if _leads(groups, leader, higher_is_better) else None


def _leads(groups: Mapping[str, Seeds], leader: str, higher_is_better: bool) -> bool:
    """Whether the leader is ahead of each group over the seeds they share, as it is over all."""
    sign = 1 if higher_is_better else -1
    return all(
        sign * np.mean([groups[leader][seed] - seeds[seed] for seed in seeds if seed in groups[leader]]) > 0
        for name, seeds in groups.items()
        if name != leader
    )
