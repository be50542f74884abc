import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from aelab.figures import charts
from aelab.figures.charts import COLOURS


def pictured(chart):
    return lambda *given, **options: chart(*given, **options).picture()


bars, curves, heat, histogram, scatter = map(
    pictured, (charts.bars, charts.curves, charts.heat, charts.histogram, charts.scatter)
)

RNG = np.random.default_rng(0)
VALUES, POINTS = RNG.random(10), RNG.normal(size=(60, 2))
# As mathematics, the first is an error and the second shorter; the third is one that legends leave out.
ODD = [
    "$\\undefined{",
    "$x_1$",
    "_hidden",
    "<b>",
    "two\nlines",
    "a long name " * 12,
    "w" * 150,
    "",
    "%d{}",
    "é",
]


PLAIN = list("abcdefghij")
STEP = np.arange(5)
# A chart of each kind, with the given title, labels and names wherever it takes them.
CHARTS = {
    "bars": lambda title, label, names: bars(
        VALUES, VALUES / 10, title=title, xlabel=label, ylabel=label, ticks=names
    ),
    "scatter": lambda title, label, names: scatter(POINTS, np.array(names)[np.arange(60) % 10], title=title),
    "heat": lambda title, label, names: heat(np.outer(VALUES, VALUES), names, names, title=title, unit=label),
    "curves": lambda title, label, names: curves(
        {name: (STEP, STEP * i, None) for i, name in enumerate(names)},
        title=title,
        xlabel=label,
        ylabel=label,
    ),
    "histogram": lambda title, label, names: histogram(
        dict.fromkeys(names, VALUES), title=title, xlabel=label
    ),
}
kinds = pytest.mark.parametrize("kind", CHARTS)


def pixels(picture):
    return np.asarray(picture).astype(int)


def count(picture, colour):
    """How many pixels are of about this colour, as bars and lines without transparency are."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return (np.abs(pixels(picture) - rgb).max(-1) < 8).sum()


def ink(picture):
    return (255 - pixels(picture)).sum()


def differ(one, other):
    return one.size != other.size or (pixels(one) != pixels(other)).any()


@kinds
def test_a_chart_is_a_picture_with_a_margin_around_all_that_it_shows(kind):
    odd = "$\\frac{ <i> _x_\n" * 20, "$\\undefined{ _y_ " * 9, ODD
    for texts in (("title", "label", PLAIN), odd):
        chart = CHARTS[kind](*texts)
        assert isinstance(chart, Image.Image)
        assert chart.mode == "RGB"
        assert 400 < chart.width < 2500
        assert 300 < chart.height < 2500
        canvas = pixels(chart)
        assert (canvas != 255).any(-1).mean() > 0.02
        for edge in (canvas[:8], canvas[-8:], canvas[:, :8], canvas[:, -8:]):
            assert (edge == 255).all()


@kinds
def test_the_same_values_are_the_same_picture_and_every_text_is_in_it(kind):
    plain, again, title, label, name = (
        CHARTS[kind](*texts)
        for texts in (
            ("title", "label", PLAIN),
            ("title", "label", PLAIN),
            ("other", "label", PLAIN),
            ("title", "other", PLAIN),
            ("title", "label", ["A", *PLAIN[1:]]),
        )
    )
    assert not differ(plain, again)
    assert differ(plain, title)
    assert differ(plain, name)
    assert differ(plain, label) == (kind != "scatter")


@kinds
def test_names_are_shown_as_they_are_and_never_as_mathematics(kind):
    # As mathematics, a space would say nothing.
    one, two = (CHARTS[kind](text, text, [text, *PLAIN[1:]]) for text in ("$a b$", "$a  b$"))
    assert differ(one, two)
    titles = [CHARTS[kind](text, "label", PLAIN) for text in ("$x$", "x")]
    assert ink(titles[0]) > ink(titles[1])


def test_a_name_that_begins_with_an_underscore_is_in_the_legend():
    line = {"_a": (np.arange(3), np.arange(3), None)}
    other = {"_b": (np.arange(3), np.arange(3), None)}
    charts = [curves(lines, title="t", xlabel="", ylabel="") for lines in (line, other)]
    assert differ(*charts)


def test_a_longer_bar_has_more_ink_and_an_error_is_seen():
    def one(values, errors=None):
        return bars(np.array(values), errors, title="t", xlabel="x", ylabel="y")

    inks = [count(one([4.0, height]), COLOURS[0]) for height in (1.0, 2.0, 4.0)]
    assert (inks[1] / inks[0], inks[2] / inks[0]) == pytest.approx((6 / 5, 8 / 5), rel=0.03)
    assert differ(one([4.0, 1.0]), one([4.0, 1.0], np.array([0.0, 0.5])))


@pytest.mark.parametrize("size", [1, 7, 300])
def test_any_number_of_bars_and_cells_is_shown(size):
    names = [f"unit {i}" for i in range(size)]
    chart = bars(np.ones(size), title="t", xlabel="x", ylabel="y", ticks=names)
    assert chart.width < 2000
    assert count(chart, COLOURS[0]) > 10_000
    for matrix in (np.ones((size, 3)), np.ones((3, size))):
        rows, columns = (names if n == size else list("abc") for n in matrix.shape)
        assert max(heat(matrix, rows, columns, title="t", unit="u").size) < 2000


@pytest.mark.parametrize("classes", [1, 10, 11, 20])
def test_each_class_has_a_form_of_its_own(classes):
    labels = np.arange(60) % classes
    chart = scatter(POINTS, labels, title="t")
    shown = sum(count(chart, colour) > 20 for colour in COLOURS)  # the legend's points are opaque
    assert shown == min(classes, 10)
    if classes > 10:
        assert differ(chart, scatter(POINTS, labels % 10, title="t"))


def test_numbers_and_too_many_classes_are_on_a_colour_bar():
    chart = scatter(POINTS, VALUES.repeat(6), title="t")
    many = scatter(POINTS, np.arange(60), title="t")
    for picture in (chart, many):
        right = pixels(picture)[:, -150:].reshape(-1, 3)
        assert len(np.unique(right, axis=0)) > 200
    assert not differ(many, scatter(POINTS, np.arange(60.0), title="t"))
    assert differ(
        scatter(POINTS, np.arange(60) % 20, title="t"), scatter(POINTS, np.arange(60.0) % 20, title="t")
    )


def test_no_class_lies_on_top_of_the_others():
    chart = pixels(scatter(RNG.normal(size=(5000, 2)) ** 3, np.arange(5000) // 2500, title="t"))
    blue, yellow = (sum_of > 60 for sum_of in (chart[..., 2] - chart[..., 0], chart[..., 0] - chart[..., 2]))
    assert 0.6 < blue.sum() / yellow.sum() < 1.6


def test_values_are_written_into_a_small_matrix_and_not_into_a_large_one():
    def shades(size, value):
        chart = heat(np.full((size, size), value), [""] * size, [""] * size, title="", unit="")
        left = pixels(chart)[:, : int(0.7 * chart.width)]
        return len(np.unique(left.reshape(-1, 3), axis=0))

    assert shades(4, 1.0) > 20
    assert shades(30, 1.0) < 20


def test_a_matrix_with_negative_values_is_shown_around_0_and_an_undefined_one_is_grey():
    def cells(*values):
        """The colours of three cells, each half an inch or so wide."""
        chart = heat(np.array([values] * 100), [""] * 100, [""] * 3, title="", unit="")
        return pixels(chart)[300, [60, 130, 210]]

    negative, zero, positive = cells(-1.0, 0.0, 0.5)
    assert negative[2] > negative[0] + 40
    assert (zero > 235).all()
    assert positive[0] > positive[2] + 40
    one, undefined, zero = cells(1.0, np.nan, 0.0)
    assert one[2] > one[0] + 40
    assert (undefined == 0xD9).all()
    assert (zero > 235).all()


def test_a_band_is_as_wide_as_the_error():
    x, y = np.arange(20), np.zeros(20)
    plain, narrow, wide = (
        curves(
            {"a": (x, y, error), "b": (x, y + 9, None), "c": (x, y - 9, None)},
            title="t",
            xlabel="",
            ylabel="",
        )
        for error in (None, np.ones(20), np.full(20, 3.0))
    )
    inks = [(pixels(chart) != pixels(plain)).any(-1).sum() for chart in (narrow, wide)]
    assert inks[1] / inks[0] == pytest.approx(3, rel=0.15)


def test_more_curves_than_colours_are_told_apart():
    def chart(count):
        return curves({str(i): (np.arange(4), np.full(4, i), None) for i in range(count)}, **texts)

    texts = {"title": "t", "xlabel": "x", "ylabel": "y"}
    assert all(chart(n).width > 500 for n in (1, 70))
    assert count(chart(11), COLOURS[0]) < 1.9 * count(chart(1), COLOURS[0])  # the eleventh is dashed


def test_a_histogram_does_not_depend_on_the_number_of_values():
    values = RNG.normal(size=200)
    few, many = (
        histogram({"a": a, "b": b}, title="t", xlabel="x")
        for a, b in ((values, values.repeat(8)), (values.repeat(8), values))
    )
    assert not differ(few, many)
    assert differ(few, histogram({"a": values, "b": values + 1}, title="t", xlabel="x"))
    assert histogram({"a": np.zeros(5)}, title="t", xlabel="x").width > 400


TEXTS = {"title": "t", "xlabel": "x", "ylabel": "y"}
CALLS = {
    "bars": lambda v: bars(v, **TEXTS),
    "scatter": lambda v: scatter(np.stack([v, v], 1), title="t"),
    "heat": lambda v: heat(v[None], ["a"], v, title="t", unit="u"),
    "curves: a": lambda v: curves({"a": (v, v, None)}, **TEXTS),
    "histogram: a": lambda v: histogram({"a": v}, title="t", xlabel="x"),
}


@pytest.mark.parametrize("kind", CALLS)
def test_what_is_empty_or_infinite_is_refused(kind):
    with pytest.raises(ValueError, match=f"^{kind} has nothing to show"):
        CALLS[kind](np.array([]))
    with pytest.raises(ValueError, match=f"^{kind} has values that are NaN or infinite"):
        CALLS[kind](np.array([1.0, np.inf]))
    for call in (lambda: curves({}, **TEXTS), lambda: histogram({}, title="t", xlabel="x")):
        with pytest.raises(ValueError, match="has nothing to show"):
            call()


def test_an_error_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="bars has values"):
        bars(VALUES, np.full(10, np.nan), **TEXTS)
    with pytest.raises(ValueError, match="curves: a has values"):
        curves({"a": (VALUES, VALUES, np.full(10, np.nan))}, **TEXTS)


def test_nothing_global_changes():
    """In a new interpreter, as other tests may import pyplot."""
    code = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np
from aelab.figures import charts
assert "matplotlib" not in sys.modules
import matplotlib
matplotlib.rcParams["font.size"] = 13.0
def settings():  # to read the backend would choose one
    others = {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != "backend"}
    return others, matplotlib.get_backend(auto_select=False)
before = settings()
charts.heat(np.ones((2, 2)), "ab", "cd", title="t", unit="u").picture()
charts.scatter(np.ones((4, 2)), np.arange(4.0), title="t").picture()
charts.bars(np.ones(3), np.ones(3), title="t", xlabel="x", ylabel="y", ticks="abc").picture()
charts.curves({"a": (np.ones(2), np.ones(2), np.ones(2))}, title="t", xlabel="x", ylabel="y").picture()
charts.histogram({"a": np.ones(3)}, title="t", xlabel="x").picture()
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr
