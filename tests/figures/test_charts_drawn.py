"""What is drawn: values, names and classes stand where they belong, as matplotlib's objects say."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from aelab.figures import charts
from aelab.figures.charts import bars, curves, heat, histogram, scatter

X = np.arange(7.0)

CHARTS = {
    "bars": lambda name: bars(X, X / 10, title=name, xlabel=name, ylabel=name, ticks=[name] * 7),
    "scatter": lambda name: scatter(np.c_[X, X], np.array([name] * 7), title=name),
    "heat": lambda name: heat(np.eye(3), [name] * 3, [name] * 3, title=name, unit=name),
    "curves": lambda name: curves({name: (X, X, X / 5)}, title=name, xlabel=name, ylabel=name),
    "histogram": lambda name: histogram({name: X}, title=name, xlabel=name),
}


@pytest.fixture
def axes(monkeypatch):
    """The axes of each chart that is drawn, in a list."""
    drawn, chart = [], charts.Chart

    def kept(axes):
        drawn.append(axes)
        chart(axes).picture()
        return chart(axes)

    monkeypatch.setattr(charts, "Chart", kept)
    return drawn


def texts(axes):
    return {text.get_text() for text in axes.figure.findobj(Text)}


def names_along(axis):
    return {
        round(at, 3): text.get_text()
        for at, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True)
    }


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("name", ["$x_1$", "<b>", "a\nb", "percent % \\"])
def test_names_are_shown_as_they_are_given(axes, chart, name):
    CHARTS[chart](name)
    assert name.replace("\n", " ") in texts(axes[0])
    assert not any(text.get_parse_math() or text.get_usetex() for text in axes[0].figure.findobj(Text))


def test_long_names_are_folded_and_end_in_dots(axes):
    histogram({"long " * 40: X}, title="word " * 40, xlabel="")
    (name,) = axes[0].get_legend().get_texts()
    lines = name.get_text().split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 24
    assert lines[1].endswith("…")
    title = axes[0].get_title(loc="left")
    assert title.split() == ["word"] * 40
    assert max(map(len, title.split("\n"))) <= 62


def test_bars_and_their_errors_are_the_values(axes):
    values, errors = np.array([1.0, -2.0, 3.0]), np.array([0.5, 0.25, 1.0])
    bars(values, errors, title="", xlabel="", ylabel="", ticks="abc")
    assert [bar.get_height() for bar in axes[0].patches] == values.tolist()
    (whiskers,) = axes[0].collections
    ends = np.array([path.vertices[:, 1] for path in whiskers.get_paths()])
    np.testing.assert_allclose(ends, np.stack([values - errors, values + errors], 1))
    assert names_along(axes[0].xaxis) == {0: "a", 1: "b", 2: "c"}


def test_of_many_names_every_few_stand_at_their_place(axes):
    bars(np.arange(300.0), title="", xlabel="", ylabel="", ticks=[f"n{i}" for i in range(300)])
    found = names_along(axes[0].xaxis)
    assert 30 <= len(found) <= 48
    assert all(name == f"n{at:.0f}" for at, name in found.items())


def test_a_curve_lies_in_the_band_of_its_errors(axes):
    curves({"a": (X, X**2, X / 5), "b": (X, -X, None)}, title="", xlabel="steps", ylabel="nats")
    first, second = axes[0].lines
    np.testing.assert_array_equal(first.get_xydata(), np.c_[X, X**2])
    np.testing.assert_array_equal(second.get_xydata(), np.c_[X, -X])
    (band,) = axes[0].collections
    corners = {(x, round(y, 9)) for x, y in band.get_paths()[0].vertices}
    assert {(x, round(x**2 + s * x / 5, 9)) for x in X for s in (-1, 1)} <= corners
    assert {"steps", "nats", "a", "b"} <= texts(axes[0])


def test_a_histogram_is_a_density_over_common_bins(axes):
    rng = np.random.default_rng(0)
    samples = {"few": rng.normal(size=50), "many": 3 + rng.normal(size=5000)}
    histogram(samples, title="", xlabel="")
    filled = [patch.get_data() for patch in axes[0].patches if patch.get_fill()]
    for (density, edges, _), sample in zip(filled, samples.values(), strict=True):
        assert (density * np.diff(edges)).sum() == pytest.approx(1)
        np.testing.assert_allclose(density, np.histogram(sample, edges, density=True)[0])
    np.testing.assert_array_equal(filled[0][1], filled[1][1])


@pytest.mark.parametrize("classes", [10, 11, 20])
def test_every_class_has_its_own_form_and_its_name(axes, classes):
    labels = np.arange(300) % classes
    points = np.c_[labels, labels // 2].astype(float)
    scatter(points, labels, title="codes")
    legend = axes[0].get_legend()
    handles = {
        int(text.get_text()): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)
    }
    assert sorted(handles) == list(range(classes))
    assert len({(line.get_color(), line.get_marker()) for line in handles.values()}) == classes
    forms = {}
    for drawn in axes[0].collections:
        for (x, _), colour in zip(drawn.get_offsets(), drawn.get_facecolors(), strict=True):
            forms.setdefault(int(x), set()).add((len(drawn.get_paths()[0]), to_hex(colour)))
    assert all(len(form) == 1 for form in forms.values())
    assert len({form for each in forms.values() for form in each}) == classes
    assert all(to_hex(handles[i].get_color()) == min(form)[1] for i, form in forms.items())
    # Each name stands in the midst of its points.
    middles = {text.get_text(): text.get_position() for text in axes[0].texts}
    assert middles == {str(i): (i, i // 2) for i in range(classes)}


@pytest.mark.parametrize("classes", [3, 20, 21, 70])
def test_as_many_names_as_there_are_can_be_classes(axes, classes):
    names = np.array([f"$name_{i:02}$" for i in range(classes)])
    scatter(np.c_[np.arange(classes), np.zeros(classes)], names, title="")
    if classes <= 20:
        assert set(names) <= texts(axes[0])
    else:
        (bar,) = axes[0].child_axes
        found = names_along(bar.yaxis)
        assert 12 <= len(found) <= 24
        assert all(name == names[int(at)] for at, name in found.items())
        (points,) = axes[0].collections
        np.testing.assert_array_equal(points.get_offsets()[:, 0], points.get_array())


def test_a_matrix_begins_above_on_the_left(axes):
    matrix = np.zeros((20, 30))
    matrix[:10, :15] = 1
    picture = heat(matrix, range(20), range(100, 130), title="", unit="nats").picture()
    assert axes[0].get_ylim() == (20, 0)
    assert axes[0].get_xlim() == (0, 30)
    assert names_along(axes[0].yaxis) == {i + 0.5: str(i) for i in range(20)}
    assert names_along(axes[0].xaxis) == {i + 0.5: str(i + 100) for i in range(30)}
    assert "nats" in texts(axes[0])
    grey = np.asarray(picture.convert("L")).astype(float)
    height, width = grey.shape
    dark = [grey[rows, : width // 3].mean() for rows in (slice(height // 2), slice(height // 2, None))]
    assert dark[0] < dark[1] - 50


def test_values_of_a_small_matrix_stand_in_their_cells(axes):
    heat(np.array([[0.25, -1.0], [np.nan, 12.0]]), "ab", "cd", title="", unit="")
    found = {text.get_position(): text.get_text() for text in axes[0].texts}
    assert found.keys() == {(0.5, 0.5), (1.5, 0.5), (1.5, 1.5)}
    assert float(found[1.5, 0.5].replace("\N{MINUS SIGN}", "-")) == -1
    assert float(found[0.5, 0.5]) == pytest.approx(0.25, abs=0.06)
