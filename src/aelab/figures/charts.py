"""Arrays to charts. Pure: matplotlib's objects alone, so neither its settings nor its open figures change.

Names are shown as they are given, never as mathematics; long ones are folded, the longest end in three dots.
Input that is empty or infinite is a ValueError.
"""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from aelab.figures.chart import Chart, figure_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, PAPER = "#333333", "#d9d9d9", "#ffffff"
# Ten colours that any colour vision tells apart (Petroff 2021); further names repeat them in another form.
COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
MARKERS, LINES = ("o", "^"), ("-", "--", ":")
CLASSES = len(COLOURS) * len(MARKERS)
TITLE, NAME = 62, 24  # characters before a text is folded
SHOWN = 48  # names along an axis at most


def bars(
    values: np.ndarray,
    errors: np.ndarray | None = None,
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    ticks: Sequence[object] | None = None,
) -> Chart:
    """A bar for each of values (N,), give or take errors (N,), above its number or its tick's name."""
    values = _numbers(values, "bars")
    errors = None if errors is None else _numbers(errors, "bars")
    room = 0.2 if ticks is None else 0.4  # inches for a bar
    axes = _axes(title, xlabel, ylabel, width=float(np.clip(1 + room * len(values), 3, 11)))
    axes.bar(range(len(values)), values, yerr=errors, color=COLOURS[0], ecolor=INK, error_kw={"lw": 1})
    axes.set_xlim(-0.7, len(values) - 0.3)
    axes.grid(visible=False, axis="x")
    if ticks is None:
        axes.locator_params(axis="x", integer=True)
    else:
        _names(axes, "x", ticks)
    return Chart(axes)


def scatter(
    points: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    title: str,
    xlabel: str = "",
    ylabel: str = "",
) -> Chart:
    """Points (N, 2) in the colours of their labels (N,).

    Up to `CLASSES` integers or names are classes in a legend; floats, and more labels than that, lie on a
    colour bar.
    """
    points = _numbers(points, "scatter")
    axes = _axes(title, xlabel, ylabel, height=4.5)
    order = np.random.default_rng(0).permutation(len(points))  # so that no class covers the others
    if labels is None:
        _points(axes, points, color=COLOURS[0])
    elif np.issubdtype(np.asarray(labels).dtype, np.floating) or len(np.unique(labels)) > CLASSES:
        values, names = np.asarray(labels), None
        if values.dtype.kind not in "biuf":
            names, values = np.unique(values, return_inverse=True)
        shown = _points(axes, points[order], c=_numbers(values, "scatter")[order], cmap="viridis")
        bar = _colour_bar(axes, shown, "")
        if names is not None:
            _names(bar, "y", names, most=SHOWN // 2)
    else:
        _classes(axes, points[order], np.asarray(labels)[order])
    axes.set_aspect("equal", adjustable="datalim")
    return Chart(axes)


def heat(
    matrix: np.ndarray, rows: Sequence[object], columns: Sequence[object], *, title: str, unit: str
) -> Chart:
    """A matrix (R, C) as colours, from the first row down; its values too where there are at most 200.

    Colours start at 0, or lie around it where a value is negative. NaN, an undefined value, is a grey cell.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    defined = _numbers(matrix[~np.isnan(matrix)], "heat")
    annotated = matrix.size <= 200 and matrix.shape[1] <= 20
    cell = (0.55, 0.36) if annotated else (0.2, 0.2)
    width, height = (np.clip(n * side, 1.5, 10) for n, side in zip(matrix.shape[::-1], cell, strict=True))
    axes = _axes(title, "", "", float(width), float(height))
    signed, most = defined.min() < 0, np.abs(defined).max() or 1
    shown = axes.pcolormesh(
        matrix,
        cmap="RdBu_r" if signed else "Blues",
        vmin=-most if signed else 0,
        vmax=most,
        edgecolors=PAPER,
        lw=1 if annotated else 0,
    )
    axes.grid(visible=False)
    axes.invert_yaxis()
    axes.set_facecolor(FAINT)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    _names(axes, "y", rows, 0.5)
    _names(axes, "x", columns, 0.5)
    if annotated:
        _annotate(axes, matrix, shown)
    _colour_bar(axes, shown, unit)
    return Chart(axes)


def curves(
    lines: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
) -> Chart:
    """A line for each name's x (N,) and y (N,), in a band of give or take its error (N,) if there is one."""
    if not lines:
        raise ValueError("curves has nothing to show")
    axes = _axes(title, xlabel, ylabel)
    forms = _forms(len(lines), "ls", LINES)
    for (name, (x, y, error)), form in zip(lines.items(), forms, strict=True):
        x, y = _numbers(x, f"curves: {name}"), _numbers(y, f"curves: {name}")
        axes.plot(x, y, **form, lw=1.8, marker="o" if len(x) == 1 else None)
        if error is not None:
            error = _numbers(error, f"curves: {name}")
            axes.fill_between(x, y - error, y + error, color=form["color"], alpha=0.2, lw=0)
    axes.margins(x=0.02)
    _legend(axes, lines, forms)
    return Chart(axes)


def histogram(values: Mapping[str, np.ndarray], *, title: str, xlabel: str) -> Chart:
    """The density of each name's values (N,), over the same bins."""
    if not values:
        raise ValueError("histogram has nothing to show")
    samples = {name: _numbers(sample, f"histogram: {name}").ravel() for name, sample in values.items()}
    every = np.concatenate(list(samples.values()))
    edges = np.histogram_bin_edges(every, min(80, len(np.histogram_bin_edges(every, "auto")) - 1))
    axes = _axes(title, xlabel, "density")
    forms = _forms(len(samples), "ls", LINES)
    for sample, form in zip(samples.values(), forms, strict=True):
        density = np.histogram(sample, edges, density=True)[0]
        axes.stairs(density, edges, fill=True, color=form["color"], alpha=0.25)
        axes.stairs(density, edges, **form, lw=1.5)
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    _legend(axes, samples, forms)
    return Chart(axes)


def _numbers(values: np.ndarray, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if not values.size:
        raise ValueError(f"{what} has nothing to show")
    if not np.isfinite(values).all():
        raise ValueError(f"{what} has values that are NaN or infinite")
    return values


def _axes(title: str, xlabel: str, ylabel: str, width: float = 5, height: float = 3.2) -> "Axes":
    """The axes of a new figure, with their size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), facecolor=PAPER)
    FigureCanvasAgg(figure)
    # Texts lie outside, and the picture grows by what they need.
    return styled(figure.add_axes((0, 0, 1, 1)), title, xlabel, ylabel)


def styled(axes: "Axes", title: str, xlabel: str, ylabel: str) -> "Axes":
    """Axes in the style of all charts."""
    axes.set_title(fill(title, TITLE), loc="left", color=INK, fontsize=12, pad=10)
    axes.set_xlabel(fill(xlabel, TITLE), color=INK, fontsize=10)
    axes.set_ylabel(fill(ylabel, TITLE // 2), color=INK, fontsize=10)
    axes.tick_params(colors=INK, labelsize=9, color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(FAINT)
    axes.grid(color=FAINT, lw=0.6, alpha=0.7)
    axes.set_axisbelow(True)
    return axes


def _points(axes: "Axes", points: np.ndarray, **form: Any) -> Any:
    size = float(np.clip(30_000 / len(points), 5, 30))
    return axes.scatter(points[:, 0], points[:, 1], s=size, alpha=0.8, linewidths=0, **form)


def _classes(axes: "Axes", points: np.ndarray, labels: np.ndarray) -> None:
    """Points (N, 2) in the colour and the form of their class; short names stand in their midst too."""
    classes, index = np.unique(labels, return_inverse=True)
    # Neighbours among the colours differ in their form too, for who tells some of them apart less well.
    shapes = np.array([(i + i // len(COLOURS)) % len(MARKERS) for i in range(len(classes))])
    forms = [
        form | {"marker": MARKERS[shape]}
        for form, shape in zip(_forms(len(classes), "marker", MARKERS), shapes, strict=True)
    ]
    colours = np.array([form["color"] for form in forms])[index]
    for i, marker in enumerate(MARKERS):
        own = shapes[index] == i
        if own.any():
            _points(axes, points[own], c=colours[own], marker=marker)
    _legend(axes, classes, [form | {"lw": 0} for form in forms])
    if max(len(str(name)) for name in classes) <= 2:
        for i, name in enumerate(classes):
            _outlined(axes, np.median(points[index == i], axis=0), str(name))


def _outlined(axes: "Axes", point: np.ndarray, name: str) -> None:
    from matplotlib.patheffects import withStroke

    paper = [withStroke(linewidth=3, foreground=PAPER)]
    style: dict[str, Any] = {"color": INK, "fontsize": 12, "fontweight": "bold", "path_effects": paper}
    axes.text(point[0], point[1], name, ha="center", va="center", **style)


def _forms(count: int, kind: str, kinds: Sequence[str]) -> list[dict[str, Any]]:
    """A colour for each of `count` names, and a kind of line or marker that changes when colours repeat."""
    size = len(COLOURS)
    return [{"color": COLOURS[i % size], kind: kinds[i // size % len(kinds)]} for i in range(count)]


def _legend(axes: "Axes", names: Iterable[object], forms: Iterable[dict[str, Any]]) -> None:
    """Names on the right of the axes, each with a line or a point of its form."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], **form) for form in forms]
    axes.legend(
        handles,
        [_folded(name) for name in names],
        loc="upper left",
        bbox_to_anchor=(1.01, 1),
        borderaxespad=0,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
    )


def _names(
    axes: "Axes", along: str, names: Sequence[object] | np.ndarray, offset: float = 0, most: int = SHOWN
) -> None:
    """Names at 0, 1, ... of an axis; every second, third, ... where they would be too many."""
    step = -(-len(names) // most)
    texts = [_folded(name) for name in names][::step]
    slanted = along == "x" and max(map(len, texts)) > 4
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if slanted else {}
    axis = axes.xaxis if along == "x" else axes.yaxis
    axis.set_ticks(np.arange(0, len(names), step) + offset, texts, **turned)


def _folded(name: object) -> str:
    return fill(str(name), NAME, max_lines=2, placeholder="\N{HORIZONTAL ELLIPSIS}")


def _annotate(axes: "Axes", matrix: np.ndarray, shown: Any) -> None:
    """Each value in its cell, in white where the cell is dark."""
    most, whole = np.nanmax(np.abs(matrix)), np.array_equal(matrix, matrix.round())
    decimals = 0 if whole else int(np.searchsorted([-100, -10, -0.1], -most))
    for (i, j), value in np.ndenumerate(matrix):
        if np.isnan(value):
            continue
        red, green, blue, _ = shown.to_rgba(value)
        ink = INK if 0.3 * red + 0.59 * green + 0.11 * blue > 0.55 else PAPER
        text = f"{value:.{decimals}f}".replace("-", "\N{MINUS SIGN}")
        axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", color=ink, fontsize=8)


def _colour_bar(axes: "Axes", shown: Any, unit: str) -> "Axes":
    figure = figure_of(axes)
    inch = 1 / figure.get_figwidth()
    bar = figure.colorbar(shown, cax=axes.inset_axes((1 + 0.12 * inch, 0, 0.15 * inch, 1)))
    bar.set_label(fill(unit, TITLE // 2), color=INK, fontsize=10)
    bar.ax.tick_params(colors=INK, labelsize=9, length=0)
    bar.outline.set_visible(False)
    return bar.ax
