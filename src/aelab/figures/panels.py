"""Several numbers against one option of a study, in one picture: a large panel and small ones beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aelab.figures.chart import Chart
from aelab.figures.charts import COLOURS, FAINT, INK, PAPER, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LARGE, SMALL, GAP = 5.2, 3.0, 0.95  # inches of the panels' width and of the room between the columns
HEIGHT, BETWEEN = 4.6, 0.6
TICKS = 12  # values along the axis that are named at most
MARK = COLOURS[6]


@dataclass(frozen=True)
class Panel:
    """One number: `mean` (N,) give or take `error` (N,), NaN or None where there is none, called `name`."""

    name: str
    mean: np.ndarray
    error: np.ndarray | None = None

    def at(self, some: np.ndarray) -> "Panel":
        """Of some values alone."""
        return Panel(self.name, self.mean[some], None if self.error is None else self.error[some])


@dataclass(frozen=True)
class Choice:
    """A value of the option to mark, with the range of the first panel's number that it was chosen by."""

    value: float
    low: float | None = None
    high: float | None = None
    told: str = ""


def against(
    values: np.ndarray,
    panels: Sequence[Panel],
    *,
    title: str,
    xlabel: str,
    log: bool = False,
    choice: Choice | None = None,
) -> Chart:
    """The panels' numbers against ascending values (N,), the first one large; a choice is marked in all.

    Raises ValueError where there is nothing to show, and for a mean that is not finite.
    """
    if not panels or not len(values) or not all(np.isfinite(panel.mean).all() for panel in panels):
        raise ValueError("against needs finite means of at least one number")
    first, *others = panels
    near = _near(first, choice)
    closer = [Panel("around the best", first.mean, first.error).at(near)] if near.any() else []
    large, *small = _layout(len(closer) + len(others))
    _line(styled(large, title, xlabel, first.name), values, first, COLOURS[0], log)
    rest = iter(small)
    for panel in closer:
        _line(_small(next(rest), panel.name), values[near], panel, COLOURS[0], log)
    for axes, panel in zip(rest, others, strict=True):
        _line(_small(axes, panel.name), values, panel, INK, log)
    if small:
        small[-1].set_xlabel(xlabel, color=INK, fontsize=10)
    if choice is not None:
        _mark((large, *small), len(closer) + 1, _chosen(values, first, choice), choice)
        _name(large, values, first, choice)
    return Chart(large)


def _layout(small: int) -> list["Axes"]:
    """A large panel on the left, and small ones above each other on its right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = LARGE + (GAP + SMALL if small else 0)
    figure = Figure((width, HEIGHT), facecolor=PAPER)
    FigureCanvasAgg(figure)
    axes = [figure.add_axes((0, 0, LARGE / width, 1))]
    share = (HEIGHT - BETWEEN * (small - 1)) / small / HEIGHT if small else 0
    for row in range(small):
        bottom = 1 - share - row * (share + BETWEEN / HEIGHT)
        axes.append(figure.add_axes(((LARGE + GAP) / width, bottom, SMALL / width, share)))
    return axes


def _line(axes: "Axes", values: np.ndarray, panel: Panel, colour: str, log: bool) -> None:
    """Means with their errors, and ticks at the values themselves where these are few."""
    from matplotlib.ticker import NullLocator

    if log:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
    shown = values[:: -(-len(values) // TICKS)]
    axes.set_xticks(shown, [f"{value:g}" for value in shown])
    axes.margins(x=0.06, y=0.12)
    axes.plot(values, panel.mean, color=colour, lw=1.6, zorder=2)
    error = None if panel.error is None else np.nan_to_num(panel.error)
    form: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 5, "capsize": 3, "elinewidth": 1.3}
    axes.errorbar(values, panel.mean, error, color=colour, zorder=3, **form)


def _mark(every: Sequence["Axes"], count: int, height: float, choice: Choice) -> None:
    """A line in all panels; in the first ones a ring around the chosen point and the band of the choice."""
    for axes in every:
        axes.axvline(choice.value, color=MARK, lw=1.4, ls="--", zorder=1.5)
    ring: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 11, "mfc": "none", "mew": 1.8, "zorder": 4}
    for axes in every[:count]:
        axes.plot(choice.value, height, color=MARK, **ring)
        if choice.low is not None and choice.high is not None:
            axes.axhspan(choice.low, choice.high, color=FAINT, alpha=0.5, lw=0, zorder=1)


def _name(axes: "Axes", values: np.ndarray, panel: Panel, choice: Choice) -> None:
    """What the mark says, on the side of the curve's flat end, where nothing else is."""
    right = choice.value > values[len(values) // 2]
    up = _is_high(values, panel, choice)
    axes.annotate(
        choice.told,
        (choice.value, 1 if up else 0),
        (-6 if right else 6, -12 if up else 6),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if right else "left",
        color=MARK,
        fontsize=10,
        fontweight="bold",
    )


def _near(panel: Panel, choice: Choice | None) -> np.ndarray:
    """Which values lie around the band, (N,), where that is too thin to be read; else none."""
    none = np.zeros(len(panel.mean), dtype=bool)
    if choice is None or choice.low is None or choice.high is None:
        return none
    span, band = float(np.ptp(panel.mean)), choice.high - choice.low
    near = np.abs(panel.mean - (choice.low + choice.high) / 2) <= max(0.08 * span, band)
    return none if band > 0.1 * span or near.sum() < 2 or near.all() else near


def _small(axes: "Axes", name: str) -> "Axes":
    styled(axes, "", "", "").set_title(name, loc="left", color=INK, fontsize=10, pad=6)
    axes.tick_params(labelsize=8)
    return axes


def _chosen(values: np.ndarray, panel: Panel, choice: Choice) -> float:
    return float(panel.mean[np.flatnonzero(values == choice.value)[0]])


def _is_high(values: np.ndarray, panel: Panel, choice: Choice) -> bool:
    """Whether the chosen point lies in the upper half of the curve."""
    return _chosen(values, panel, choice) > (panel.mean.min() + panel.mean.max()) / 2
