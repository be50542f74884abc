"""Numbers as a reader of a page wants them, with a true minus sign."""

import re
from collections.abc import Sequence

from aelab.comparison import numerals
from aelab.comparison.base import Summary
from aelab.comparison.numerals import rounded

NOTHING = "–"


def number(value: float, digits: int = 4) -> str:
    """1081345 -> 1,081,345; 0.037597 -> 0.0376; 6.1e11 -> 6.1e+11."""
    return _minus(numerals.number(value, digits, grouped=True))


def estimate(summary: Summary) -> str:
    """Mean ± standard deviation, cut at the second digit of the deviation."""
    return _minus(numerals.mean_and_deviation(summary, grouped=True))


def interval(summary: Summary) -> str:
    """[low, high] of the mean, to the same digit; nothing where it is not known."""
    if summary.interval is None:
        return ""
    low, high = (rounded(end, summary.deviation, grouped=True) for end in summary.interval)
    return _minus(f"[{low}, {high}]")


def standing(summary: Summary, seeds: int) -> str:
    """Rank, p against the baseline, and of how many of the seeds, where that is not of all."""
    parts = [
        f"rank {number(summary.rank)}" if summary.rank is not None else "",
        p_value(summary.p) if summary.p is not None else "",
        f"{len(summary.values)} of {seeds} seeds" if len(summary.values) < seeds else "",
    ]
    return " · ".join(filter(None, parts))


def p_value(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def spread(values: Sequence[float]) -> str:
    """One number, or from the least to the largest."""
    if not values:
        return NOTHING
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} – {high}"


def duration(seconds: Sequence[float]) -> str:
    """Wall time in the unit that suits it."""
    if not seconds:
        return NOTHING
    for name, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if max(seconds) >= 2 * size:
            return f"{spread([round(s / size, 2) for s in seconds])} {name}"
    return f"{spread([round(s, 2) for s in seconds])} s"


def _minus(text: str) -> str:
    return re.sub(r"(?<!e)-", "−", text)
