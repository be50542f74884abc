"""The figures of a comparison as files for a paper: intervals, ranks, curves, rate and distortion."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from aelab.comparison.base import Comparison
from aelab.comparison.group_names import for_people
from aelab.comparison.groups import values_by_seed
from aelab.comparison.page.bands import band
from aelab.comparison.page.chart_data import curve_names, plane, values_at
from aelab.comparison.statistics import critical_difference, mean_ranks
from aelab.core.quantity import short, title
from aelab.figures.paper import Paper

POINTS = 200  # of a curve
Chart = Callable[[str], bytes]


def figure_files(comparison: Comparison, options: Mapping[str, Any], alpha: float = 0.05) -> dict[str, bytes]:
    """The content of each file by its name; options: of `Paper`. alpha: level of the critical differences."""
    paper = Paper(**options)
    charts = _charts(comparison, paper, alpha) if paper.formats else ()
    return {f"figures/{name}.{end}": chart(end) for name, chart in charts for end in paper.formats}


def _charts(comparison: Comparison, paper: Paper, alpha: float) -> Iterator[tuple[str, Chart]]:
    groups, people = comparison.groups, for_people(comparison.groups)
    for metric in comparison.metrics:
        found = {people[g.name]: g.summaries[metric.name] for g in groups if metric.name in g.summaries}
        if found:
            ends = [summary.interval or (summary.mean, summary.mean) for summary in found.values()]
            means = [summary.mean for summary in found.values()]
            label = f"{title(_last(metric.name))}, {short(metric.unit)}"
            yield f"intervals_{_file(metric.name)}", paper.intervals(list(found), means, ends, label)
        ranks, blocks = mean_ranks(
            {people[g.name]: values_by_seed(g, metric.name) for g in groups}, metric.higher_is_better
        )
        if ranks:
            half = critical_difference(len(ranks), blocks, alpha) / 2
            order = sorted(ranks, key=ranks.__getitem__)
            means = [ranks[name] for name in order]
            ends = [(rank - half, rank + half) for rank in means]
            label = f"mean rank over {blocks} seeds by {title(_last(metric.name))}"
            yield f"critical_differences_{_file(metric.name)}", paper.intervals(order, means, ends, label)
    compared = {f"val/{_last(metric.name)}" for metric in comparison.metrics}
    for name in (name for name in curve_names(groups) if name in compared):
        bands = {
            people[g.name]: band([r.curves[name] for r in g.runs if name in r.curves], POINTS) for g in groups
        }
        lines = {group: (b.steps, b.mean, b.low, b.high) for group, b in bands.items() if b is not None}
        yield f"curve_{_file(name)}", paper.curves(lines, "optimisation steps", title(_last(name)))
    if axes := plane(groups):
        places = {people[group.name]: values_at(group, axes) for group in groups}
        known = {name: found for name, found in places.items() if found}
        yield "rate_distortion", paper.points(known, "KL (rate), nats", "Distortion, nats")


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _file(name: str) -> str:
    """A metric's name as a part of a file's."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)
