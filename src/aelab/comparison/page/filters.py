"""The page's template filters: numbers in words and digits, with a true minus sign."""

import re
from collections.abc import Sequence

from aelab.comparison import number_format
from aelab.comparison.base import MetricSummary
from aelab.comparison.number_format import rounded

NOTHING = "–"


def number(value: float, digits: int = 4) -> str:
    """1081345 -> 1,081,345; 0.037597 -> 0.0376; 6.1e11 -> 6.1e+11."""
    return _minus(number_format.number(value, digits, grouped=True))


def estimate(summary: MetricSummary) -> str:
    """Mean ± standard deviation, rounded at the second digit of the deviation."""
    return _minus(number_format.mean_and_deviation(summary, grouped=True))


def interval(summary: MetricSummary) -> str:
    """[low, high] of the mean, to the same digit; nothing where it is not known."""
    if summary.interval is None:
        return ""
    low, high = (rounded(end, summary.deviation, grouped=True) for end in summary.interval)
    return _minus(f"[{low}, {high}]")


def standing(summary: MetricSummary, seeds: int) -> str:
    """Rank, p against the baseline, and of how many of the seeds, where that is not of all."""
    parts = [
        f"rank {number(summary.rank)}" if summary.rank is not None else "",
        p_value(summary.p) if summary.p is not None else "",
        f"{len(summary.values)} of {seeds} seeds" if len(summary.values) < seeds else "",
    ]
    return " · ".join(filter(None, parts))


def p_value(p: float) -> str:
    """A p-value to two digits."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def spread(values: Sequence[float]) -> str:
    """One number, or from the least to the largest."""
    if not values:
        return NOTHING
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} – {high}"


def duration(seconds: Sequence[float]) -> str:
    """Wall times in one unit that suits the longest."""
    if not seconds:
        return NOTHING
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if max(seconds) >= 2 * size:
            return f"{spread([round(s / size, 2) for s in seconds])} {name}"
    return f"{spread([round(s, 2) for s in seconds])} s"


def _minus(text: str) -> str:
    return re.sub(r"(?<!e)-", "−", text)
