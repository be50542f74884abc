"""Charts for a paper: of the width of a column or a page, in small type, with fonts embedded as Type 42."""

import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import numpy as np

from aelab.core.errors import ConfigurationError
from aelab.figures.chart import Chart
from aelab.figures.charts import COLOURS, FAINT, INK, LINES, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTHS = {"column": 3.35, "page": 6.9}  # inches
MARGIN = 0.03
FORMATS = ("pdf", "svg", "png")
SETTINGS: dict[Any, Any] = {
    "font.size": 8, "axes.linewidth": 0.6, "axes.edgecolor": INK, "text.parse_math": False,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.2,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none", "svg.hashsalt": "aelab",
}  # fmt: skip


class Paper:
    """How charts for a paper look.

    format: of `FORMATS` one, several or None. width: `column` or `page`. serif: a serif type, as most papers'
    text has.
    Raises ConfigurationError for another format or width.
    """

    def __init__(
        self, format: str | Sequence[str] | None = "pdf", width: str = "column", serif: bool = False
    ) -> None:
        self.formats = [] if format is None else [format] if isinstance(format, str) else list(format)
        if wrong := [name for name in self.formats if name not in FORMATS]:
            raise ConfigurationError(
                f"figures.format={wrong[0]}: choose of {', '.join(FORMATS)}, one or a list"
            )
        if width not in WIDTHS:
            raise ConfigurationError(f"figures.width={width}: choose one of {', '.join(WIDTHS)}")
        self.width, self.serif = WIDTHS[width], serif

    def saved(self, chart: Chart, format: str) -> bytes:
        """A chart in this type and of this width, without its title, which a paper has in its caption."""
        from matplotlib.text import Text

        with self._settings():
            figure = chart.copy()
            for axes in figure.axes:
                axes.set_title("", loc="left")
            inner = {text for axes in figure.axes for text in axes.texts}
            for text in figure.findobj(Text):
                text.set_fontsize(6 if text in inner else min(text.get_fontsize(), SETTINGS["font.size"]))
                text.set_fontfamily(self._family)
            for _ in range(3):  # texts keep their size, and the axes take what these leave
                side = figure.get_figwidth()
                around = figure.get_tightbbox().width - side
                scale = max(self.width - 2 * MARGIN - around, 1) / side
                figure.set_size_inches(scale * side, scale * figure.get_figheight())
            return _bytes(figure, format, bbox_inches="tight", pad_inches=MARGIN)

    def intervals(
        self, names: Sequence[str], means: Sequence[float], ends: Sequence[tuple[float, float]], xlabel: str
    ) -> Callable[[str], bytes]:
        """A point for each name, from the top down, in the interval between its ends."""

        def draw(axes: "Axes") -> None:
            rows = np.arange(len(names))[::-1]
            low, high = np.array(ends, dtype=np.float64).T
            axes.hlines(rows, low, high, color=COLOURS[0], lw=1.4)
            axes.plot(means, rows, "o", ms=4, color=COLOURS[0])
            axes.set_yticks(rows, list(names))
            axes.set_ylim(-0.6, len(names) - 0.4)
            axes.locator_params(axis="x", nbins=4)
            axes.grid(axis="x", color=FAINT, lw=0.5)
            axes.set_xlabel(xlabel)

        return self._drawn(draw, 0.55 + 0.2 * len(names))

    def curves(
        self, lines: Mapping[str, Sequence[np.ndarray]], xlabel: str, ylabel: str
    ) -> Callable[[str], bytes]:
        """A line for each name's (x, y, low, high), in the band between the last two."""

        def draw(axes: "Axes") -> None:
            for index, (name, (x, y, low, high)) in enumerate(lines.items()):
                colour, style = COLOURS[index % len(COLOURS)], LINES[index // len(COLOURS) % len(LINES)]
                axes.plot(x, y, style, color=colour, label=name)
                axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
            self._labelled(axes, xlabel, ylabel)

        return self._drawn(draw, 0.62 * self.width)

    def points(
        self, places: Mapping[str, Sequence[Sequence[float]]], xlabel: str, ylabel: str
    ) -> Callable[[str], bytes]:
        """The places (x, y) of each name, in its colour."""

        def draw(axes: "Axes") -> None:
            for index, (name, found) in enumerate(places.items()):
                colour, form = COLOURS[index % len(COLOURS)], MARKERS[index // len(COLOURS) % len(MARKERS)]
                axes.plot(*np.array(found).T, form, ms=4, color=colour, label=name)
            self._labelled(axes, xlabel, ylabel)

        return self._drawn(draw, 0.62 * self.width)

    def _labelled(self, axes: "Axes", xlabel: str, ylabel: str) -> None:
        axes.grid(color=FAINT, lw=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, handlelength=1.4)

    def _drawn(self, draw: Callable[["Axes"], None], height: float) -> Callable[[str], bytes]:
        """The bytes of a chart in a format that is still to be named."""

        def saved(format: str) -> bytes:
            from matplotlib.figure import Figure

            with self._settings():
                figure = Figure((self.width, height), layout="constrained")
                draw(figure.add_subplot())
                return _bytes(figure, format)

        return saved

    @property
    def _family(self) -> str:
        return "serif" if self.serif else "sans-serif"

    def _settings(self) -> "AbstractContextManager[None]":
        import matplotlib as mpl

        return mpl.rc_context(SETTINGS | {"font.family": self._family})


def _bytes(figure: "Figure", format: str, **options: Any) -> bytes:
    """The file, which says nothing of when it was made."""
    dated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    file = io.BytesIO()
    figure.savefig(file, format=format, dpi=300, metadata=dated.get(format), **options)
    return file.getvalue()
