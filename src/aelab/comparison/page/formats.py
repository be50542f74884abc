"""Numbers as a reader wants them: no more digits than the seeds support, a true minus sign."""

import math
from collections.abc import Sequence

from aelab.comparison.records import Summary

NOTHING = "–"


def number(value: float, digits: int = 4) -> str:
    """1081345 -> 1,081,345; 0.037597 -> 0.0376; 6.1e11 -> 6.1e+11."""
    if value == 0 or 1e-4 <= abs(value) < 1e7:
        decimals = max(0, digits - 1 - _magnitude(value))
        text = f"{value:,.{decimals}f}"
        return _minus(text.rstrip("0").rstrip(".") if "." in text else text)
    return _minus(f"{value:.{digits - 2}e}")


def estimate(summary: Summary) -> str:
    """Mean ± standard deviation, cut at the second digit of the deviation."""
    if not summary.deviation:
        return number(summary.mean)
    return f"{_cut(summary.mean, summary.deviation)} ± {_cut(summary.deviation, summary.deviation)}"


def interval(summary: Summary) -> str:
    """[low, high] of the mean, to the same digit; nothing where it is not known."""
    if summary.interval is None:
        return ""
    return "[{}, {}]".format(*(_cut(end, summary.deviation) for end in summary.interval))


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


def _cut(value: float, deviation: float | None) -> str:
    """Rounded at the second digit of the deviation, where such digits are few enough to write out."""
    decimals = 1 - _magnitude(deviation) if deviation else -1
    return _minus(f"{value:,.{decimals}f}") if 0 <= decimals <= 6 else number(value)


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _minus(text: str) -> str:
    return text.replace("-", "−") if "e" not in text else text.replace("-", "−", text.startswith("-"))
