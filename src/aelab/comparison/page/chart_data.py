"""The data of a page's charts: a comparison as plain values, groups and metrics in its order."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from aelab.comparison.base import Budget, Comparison, Group, MetricSummary
from aelab.comparison.group_names import shown
from aelab.comparison.page.bands import Band, band
from aelab.comparison.page.setting_importance import importances, swept
from aelab.core.checks import is_number
from aelab.core.quantity import Quantity

POINTS = 120_000  # of all curves of a page
WEIGHED = 8  # metrics that settings are weighed for
COSTS = {  # names in Budget -> as an axis says it
    "seconds": "wall time, s",
    "flops": "FLOPs",
    "parameters": "parameters",
    "steps": "optimisation steps",
    "samples_seen": "samples seen",
}
PLANES = (("test/kl", "test/distortion"), ("likelihood/kl", "likelihood/distortion"))


def page_data(comparison: Comparison) -> dict[str, Any]:
    """The data of all charts, in JSON's types alone."""
    names = curve_names(comparison.groups)
    points = max(40, min(200, POINTS // max(1, len(names) * len(comparison.groups))))
    axes = plane(comparison.groups)
    return {
        "baseline": comparison.baseline,
        "metrics": [_metric(metric) for metric in comparison.metrics],
        "costs": COSTS,
        "curves": names,
        "plane": axes,
        "groups": [_group(group, names, points, axes) for group in comparison.groups],
        "sweep": sweep(comparison),
    }


def curve_names(groups: Iterable[Group]) -> list[str]:
    """The names of the curves of two points or more: val/elbo first, then validation, training, the rest."""
    names = {
        name for group in groups for run in group.runs for name, curve in run.curves.items() if len(curve) > 1
    }
    return sorted(
        names,
        key=lambda name: (
            name != "val/elbo",
            not name.startswith("val/"),
            not name.startswith("train/"),
            name,
        ),
    )


def plane(groups: Iterable[Group]) -> tuple[str, str] | None:
    """The names of rate and distortion, where both were measured, whatever metrics are compared."""
    measured = sorted({name for group in groups for run in group.runs for name in run.values})
    for rate, distortion in PLANES:
        for name in measured:
            other = name.removesuffix(rate) + distortion
            if name.endswith(rate) and other in measured:
                return name, other
    return None


def sweep(comparison: Comparison) -> dict[str, Any] | None:
    """The swept settings of each group and how much each mattered, where there are two settings or more."""
    settings = [group.differing for group in comparison.groups]
    names = swept(settings)
    if len(names) < 2:
        return None
    weighed = [m.name for m in comparison.metrics if m.higher_is_better is not None][:WEIGHED]
    found = {name: _weights(comparison.groups, name) for name in weighed}
    return {
        "names": [label(name) for name in names],
        "values": [[_plain(s[name]) for name in names] for s in settings],
        "importance": {name: weights for name, weights in found.items() if weights},
    }


def label(key: str) -> str:
    """A setting's key as charts show it: a choice by the name of what is chosen."""
    return key.removesuffix("._target_")


def _weights(groups: Sequence[Group], metric: str) -> dict[str, Any] | None:
    known = [group for group in groups if metric in group.summaries]
    found = importances([group.differing for group in known], [g.summaries[metric].mean for g in known])
    if found is None:
        return None
    bars = [[label(s.name), _short(s.share), _short(s.deviation)] for s in found.settings]
    return {"explained": _short(found.explained), "bars": bars}


def _metric(metric: Quantity) -> dict[str, Any]:
    return {"name": metric.name, "unit": metric.unit, "higher": metric.higher_is_better}


def _group(group: Group, names: Sequence[str], points: int, axes: tuple[str, str] | None) -> dict[str, Any]:
    found = {name: band([r.curves[name] for r in group.runs if name in r.curves], points) for name in names}
    return {
        "name": group.name,
        "seeds": [run.seed for run in group.runs],
        "values": {name: _summary(summary) for name, summary in group.summaries.items()},
        "plane": [[_short(value) for value in at] for at in values_at(group, axes)] if axes else [],
        "cost": _costs(group.budget),
        "curves": {name: _band(curve) for name, curve in found.items() if curve},
    }


def values_at(group: Group, axes: tuple[str, str]) -> list[list[float]]:
    """Rate and distortion of each run that has both."""
    known = [run.values for run in group.runs if all(axis in run.values for axis in axes)]
    return [[values[axis] for axis in axes] for values in known]


def _summary(summary: MetricSummary) -> dict[str, Any]:
    low, high = summary.interval or (summary.mean, summary.mean)
    return {
        "mean": _short(summary.mean),
        "low": _short(low),
        "high": _short(high),
        "seeds": [_short(value) for value in summary.values],
        "best": summary.best,
    }


def _costs(budget: Budget) -> Mapping[str, float]:
    """The mean over the distinct values of a group's runs."""
    values = {name: getattr(budget, name) for name in COSTS}
    return {name: _short(fmean(distinct)) for name, distinct in values.items() if distinct}


def _band(curve: Band) -> list[list[float]]:
    return [[_short(value) for value in line] for line in (curve.steps, curve.mean, curve.low, curve.high)]


def _plain(value: Any) -> float | str:
    return float(value) if is_number(value) else shown(value)


def _short(value: float) -> float:
    """A number to six digits, which are more than a screen shows."""
    return float(f"{float(value):.6g}")
