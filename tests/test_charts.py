"""Charts: names are shown as they are, what is shown can be told apart, and matplotlib is left as it was."""

import subprocess
import sys

import numpy as np
import pytest

from aelab.charts import bars, curves, heat, histogram, scatter

ODD = ["$x_1^{", "<b>bold</b>", "two\nlines", "percent % and \\backslash", "long " * 40, "ünïcode ∑", ""]
X = np.arange(7.0)

CHARTS = {
    "bars": lambda name: bars(X, X / 10, title=name, xlabel=name, ylabel=name, ticks=[name] * 7),
    "scatter": lambda name: scatter(np.c_[X, X], np.array([name] * 7), title=name),
    "heat": lambda name: heat(np.eye(3), [name] * 3, [name] * 3, title=name, unit=name),
    "curves": lambda name: curves({name: (X, X, X / 5)}, title=name, xlabel=name, ylabel=name),
    "histogram": lambda name: histogram({name: X}, title=name, xlabel=name),
}


def inked(picture):
    """The share of pixels that are not paper."""
    return (np.asarray(picture.convert("L")) < 250).mean()


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("name", ODD)
def test_any_name_can_be_shown(chart, name):
    picture = CHARTS[chart](name)
    assert picture.mode == "RGB"
    assert inked(picture) > 0.01
    assert max(picture.size) < 4000


@pytest.mark.parametrize("chart", CHARTS)
def test_no_name_is_read_as_mathematics(chart):
    """As mathematics the two would look alike."""
    plain, marked = (np.asarray(CHARTS[chart](name).convert("L")) for name in ("$a$", "a"))
    assert plain.shape != marked.shape or (plain != marked).any()


def test_taller_bars_take_more_ink():
    low, high = (bars(np.array([a, 10]), title="", xlabel="", ylabel="") for a in (1, 9))
    assert inked(high) > inked(low)


@pytest.mark.parametrize("classes", [1, 10, 11, 20, 21, 60])
def test_points_of_many_classes_can_be_shown(classes):
    points = np.random.default_rng(0).normal(size=(300, 2))
    picture = scatter(points, np.arange(300) % classes, title="codes")
    colours = {c for _, c in picture.getcolors(10**6) if max(c) - min(c) > 60}
    assert len(colours) >= min(classes, 10)


def test_a_matrix_of_either_sign_and_with_gaps_can_be_shown():
    matrix = np.array([[1.0, -1.0], [np.nan, 0.5]])
    colours = {c for _, c in heat(matrix, "ab", "cd", title="", unit="").getcolors(10**6)}
    assert any(r > b + 80 for r, _, b in colours)  # above 0
    assert any(b > r + 80 for r, _, b in colours)  # below
    large = heat(np.random.default_rng(0).random((60, 90)), range(60), range(90), title="", unit="nats")
    assert inked(large) > 0.2


@pytest.mark.parametrize(
    "empty",
    [
        lambda: bars(np.array([]), title="", xlabel="", ylabel=""),
        lambda: bars(np.array([1, np.nan]), title="", xlabel="", ylabel=""),
        lambda: scatter(np.zeros((0, 2)), title=""),
        lambda: scatter(np.array([[0, np.inf]]), title=""),
        lambda: heat(np.full((2, 2), np.nan), "ab", "cd", title="", unit=""),
        lambda: curves({}, title="", xlabel="", ylabel=""),
        lambda: curves({"a": (X, X * np.nan, None)}, title="", xlabel="", ylabel=""),
        lambda: histogram({}, title="", xlabel=""),
    ],
)
def test_nothing_to_show_is_an_error(empty):
    with pytest.raises(ValueError, match=r"nothing to show|NaN or infinite"):
        empty()


def test_matplotlibs_own_state_is_left_alone():
    code = """
import sys, numpy as np, matplotlib
before = matplotlib.rcParams.copy()
from aelab.charts import bars
bars(np.ones(3), title="a", xlabel="b", ylabel="c")
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
