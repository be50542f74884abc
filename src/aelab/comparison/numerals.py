"""Numbers as tables show them."""

from aelab.comparison.records import Summary


def mean_and_deviation(summary: Summary, between: str = " ± ") -> str:
    """Mean and standard deviation to two digits of the latter; four digits of a single value."""
    if not summary.deviation:
        return f"{summary.mean:.4g}"
    digits = max(0, 1 - int(f"{summary.deviation:e}".partition("e")[2]))
    if digits > 5:
        return f"{summary.mean:.4g}{between}{summary.deviation:.1e}"
    return f"{summary.mean:.{digits}f}{between}{summary.deviation:.{digits}f}"


def quantity(value: float) -> str:
    """A count with its thousands; large ones by their power of ten."""
    return f"{value:.3g}" if value >= 1e9 else f"{value:,.0f}"
