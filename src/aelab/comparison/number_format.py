"""Numbers as tables show them: no more digits than the seeds support."""

import math

from aelab.comparison.base import MetricSummary

FINEST = 6  # decimals; smaller deviations are written by their power of ten


def mean_and_deviation(summary: MetricSummary, between: str = " ± ", grouped: bool = False) -> str:
    """Mean and standard deviation to two digits of the latter; four digits of a single value.

    grouped: whether thousands are.
    """
    if summary.deviation is None:
        return number(summary.mean, grouped=grouped)
    mean = rounded(summary.mean, summary.deviation, grouped)
    if _decimals(summary.deviation) > FINEST:
        return f"{mean}{between}{summary.deviation:.1e}"
    return f"{mean}{between}{rounded(summary.deviation, summary.deviation, grouped)}"


def rounded(value: float, deviation: float | None, grouped: bool = False) -> str:
    """A value to the second digit of its deviation; to four digits where that is missing or too fine."""
    if not deviation or _decimals(deviation) > FINEST:
        return number(value, grouped=grouped)
    return f"{value:{',' if grouped else ''}.{_decimals(deviation)}f}"


def number(value: float, digits: int = 4, grouped: bool = False) -> str:
    """A number to so many digits: 1081345 -> 1081345; 0.037597 -> 0.0376; 6.1234e11 -> 6.12e+11."""
    if value and not 1e-4 <= abs(value) < 1e7:
        return f"{value:.{digits - 2}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:{',' if grouped else ''}.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity(value: float) -> str:
    """A count with its thousands; large ones by their power of ten."""
    return f"{value:.3g}" if value >= 1e9 else f"{value:,.0f}"


def _decimals(deviation: float) -> int:
    """The number of decimals up to the second digit of the deviation, once that is rounded."""
    return max(0, 1 - int(f"{deviation:.1e}".partition("e")[2])) if deviation else 0
