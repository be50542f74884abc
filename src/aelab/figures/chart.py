"""A drawn chart, as a picture for a screen or as a file for a paper."""

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150


@dataclass(frozen=True)
class Chart:
    """A chart: the axes of a figure of its own."""

    axes: "Axes"

    def picture(self) -> Image.Image:
        """The figure in RGB, grown to where its texts end."""
        file = io.BytesIO()
        figure = _plain(figure_of(self.axes))
        figure.savefig(file, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12)
        return Image.open(file).convert("RGB")

    def copy(self) -> "Figure":
        """The figure, to be altered."""
        found: Figure = pickle.loads(pickle.dumps(figure_of(self.axes)))
        return _plain(found)


def figure_of(axes: "Axes") -> "Figure":
    """The whole figure around some axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def _plain(figure: "Figure") -> "Figure":
    """The figure with its texts as they were given, never as mathematics."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
    return figure
