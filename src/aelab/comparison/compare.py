"""The comparison of runs: read, grouped, summarised and ordered."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence

from aelab.comparison.base import Comparison, Group
from aelab.comparison.fairness import check_data, flags
from aelab.comparison.groups import grouped, lost, values_by_seed
from aelab.comparison.metrics import chosen, dropped
from aelab.comparison.run_summaries import read_runs
from aelab.comparison.statistics import summaries
from aelab.core.errors import ConfigurationError
from aelab.core.quantity import Quantity
from aelab.core.text import listed


def compare(
    patterns: Sequence[str],
    by: Sequence[str] | None = None,
    metric: Sequence[str] | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
    different_data: bool = False,
    higher_is_better: Mapping[str, bool | None] | None = None,
) -> Comparison:
    """The comparison of the runs at and below `patterns`, in groups that differ in more than the seed.

    baseline: the name of a group, or a part of it that no other has; None: the first group that has finished
    runs. The others are `compare.yaml`'s.

    Raises ConfigurationError or DataError, with what would work, for what cannot be compared.
    """
    if not 0 < alpha < 1:
        raise ConfigurationError(f"alpha={alpha}: a level of significance lies between 0 and 1, as 0.05")
    runs, skipped = read_runs(patterns)
    groups, notes = grouped(runs, by)
    finished = [group for group in groups if group.runs]
    if not finished:
        reasons = listed({run.error for group in groups for run in group.failed})
        raise ConfigurationError(f"none of the {len(runs)} runs is finished ({reasons}): nothing to compare")
    check_data(finished, different_data)
    measured = [run for group in finished for run in group.runs]
    metrics = chosen(measured, metric, higher_is_better or {})
    against = _named(baseline, [group.name for group in finished])
    return Comparison(
        groups=_ordered(_summarised(groups, metrics, against, alpha), metrics),
        metrics=metrics,
        baseline=against,
        flags=(*flags(groups, metrics), *dropped(measured, metric), *notes),
        skipped=skipped,
    )


def _named(baseline: str | None, names: Sequence[str]) -> str:
    if baseline is None or baseline in names:
        return baseline or names[0]
    found = [name for name in names if baseline in name]
    first = [name for name in found if name.startswith(baseline)]
    if len(found) == 1 or len(first) == 1:
        return (first or found)[0]
    near = found or difflib.get_close_matches(baseline, names, 3, 0.4) or list(names)
    raise ConfigurationError(
        f"baseline={baseline} names {len(found)} groups with finished runs: choose one of {listed(near, 8)}"
    )


def _ordered(groups: Sequence[Group], metrics: Sequence[Quantity]) -> tuple[Group, ...]:
    """The best by the first metric that has a better first; those without it last, as they came."""
    first = next((metric.name for metric in metrics if metric.higher_is_better is not None), "")

    def rank(group: Group) -> float:
        found = group.summaries.get(first)
        return float("inf") if found is None or found.rank is None else found.rank

    return tuple(sorted(groups, key=rank))


def _summarised(
    groups: Sequence[Group], metrics: Sequence[Quantity], baseline: str, alpha: float
) -> tuple[Group, ...]:
    by_metric = {}
    for metric in metrics:
        values = {group.name: values_by_seed(group, metric.name) for group in groups}
        missing = {group.name: lost(group, metric.name) for group in groups}
        by_metric[metric.name] = summaries(values, baseline, metric.higher_is_better, alpha, missing)
    return tuple(
        dataclasses.replace(
            group,
            summaries={name: found[group.name] for name, found in by_metric.items() if group.name in found},
        )
        for group in groups
    )
