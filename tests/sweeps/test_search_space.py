"""Search spaces: what is drawn lies in them, a grid has every point once, nonsense is refused."""

import numpy as np
import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.errors import ConfigurationError
from aelab.sweeps.search_space import as_plain, extremes, grid, space_of, suggest

CONDITIONAL = {
    "variant": ["vae", "beta_vae", "iwae"],
    "beta": {"low": 1.0, "high": 8.0, "step": 3.5, "when": {"variant": "beta_vae"}},
    "samples": {"choices": [5, 50], "when": {"variant": ["iwae"]}},
    "seed": {"low": 0, "high": 1},
}


def parsed(*overrides):
    return OverridesParser.create().parse_overrides(list(overrides))


def test_a_grid_has_every_combination_once_and_what_does_not_apply_is_left_out():
    points = grid(space_of(CONDITIONAL))
    assert len(points) == len({tuple(p.items()) for p in points}) == (1 + 3 + 2) * 2
    for point in points:
        assert ("beta" in point) == (point["variant"] == "beta_vae")
        assert ("samples" in point) == (point["variant"] == "iwae")
    assert {p["beta"] for p in points if "beta" in p} == {"1.0", "4.5", "8.0"}


def test_what_is_drawn_lies_in_the_grid():
    study, points = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), space_of(CONDITIONAL)
    drawn = [suggest(study.ask(), points) for _ in range(100)]
    assert {tuple(d.items()) for d in drawn} == {tuple(p.items()) for p in grid(points)}


@given(st.integers(-50, 50), st.integers(0, 50), st.integers(1, 7))
def test_a_range_of_integers_is_python_s(low, width, step):
    (parameter,) = space_of({"n": {"low": low, "high": low + width, "step": step}})
    assert parameter.points() == tuple(map(str, range(low, low + width + 1, step)))


@given(st.integers(1, 50), st.integers(1, 500), st.integers(2, 9), st.booleans())
def test_a_grid_of_a_range_goes_from_end_to_end(low, width, count, log):
    for ends in ((low, low + width), (float(low), float(low + width))):
        (parameter,) = space_of({"n": {"low": ends[0], "high": ends[1], "log": log, "grid": count}})
        values = [float(value) for value in parameter.points()]
        assert (values[0], values[-1]) == ends
        assert values == sorted(set(values))
        assert len(values) <= count
    scale = np.log(values) if log else np.array(values)
    assert np.diff(scale) == pytest.approx((scale[-1] - scale[0]) / (count - 1))


def test_a_study_from_before_there_were_grids_of_ranges_asks_the_same():
    (plain,) = as_plain(space_of({"n": {"low": 1, "high": 9}})).values()
    assert set(plain) == {"name", "low", "high", "step", "log", "when"}


def test_a_logarithmic_range_is_drawn_evenly_in_the_logarithm():
    space = space_of({"lr": {"low": 1e-4, "high": 1e-2, "log": True}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [float(suggest(study.ask(), space)["lr"]) for _ in range(400)]
    assert all(1e-4 <= value <= 1e-2 for value in drawn)
    assert sum(value < 1e-3 for value in drawn) / 400 == pytest.approx(0.5, abs=0.08)


def test_the_command_line_takes_the_place_of_the_file():
    space = space_of(
        {"latent": [2, 4]}, parsed("latent=int(interval(3,9))", "lr=tag(log,interval(1e-4,1e-2))", "seed=0,1")
    )
    latent, lr, seed = space
    assert (latent.low, latent.high, latent.integer) == (3, 9, True)
    assert (lr.low, lr.high, lr.log) == (1e-4, 1e-2, True)
    assert seed.values == ("0", "1")


def test_of_many_numbers_the_ends_are_edges():
    assert [v["seed"] for v in extremes(space_of({"seed": list(range(1000))}))] == ["0", "999"]
    assert [v["latent"] for v in extremes(space_of({"latent": [2, 8, "${seed}"]}))] == ["2", "8", "${seed}"]


def test_the_edges_show_every_choice_with_its_condition_fulfilled():
    tried = list(extremes(space_of(CONDITIONAL)))
    assert {(k, v) for values in tried for k, v in values.items()} >= {
        *(("variant", v) for v in ("vae", "beta_vae", "iwae")),
        ("beta", "8.0"),
        ("samples", "50"),
        ("seed", "1"),
    }
    assert all(("beta" in values) <= (values["variant"] == "beta_vae") for values in tried)


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ({"n": []}, "n has no value"),
        ({"n": {"low": 3, "high": 2}}, "low=3 above high=2"),
        ({"n": {"low": 0, "high": 2, "log": True}}, "begins above 0"),
        ({"n": {"low": 1, "high": 2, "step": 0.5}}, "whole where low is"),
        ({"n": {"low": 1, "high": float("inf")}}, "finite"),
        ({"n": {"low": "one", "high": 2}}, "numbers"),
        ({"n": {"low": 1}}, "give either choices"),
        ({"n": {"low": 1, "high": 2, "lgo": True}}, "give either choices"),
        ({"n": 3}, "list of values"),
        ({"n": {"low": 1, "high": 9, "grid": 1}}, "grid=1 is how many values a grid tries, from 2"),
        ({"n": {"low": 1, "high": 9, "step": 2, "grid": 3}}, "instead of a step"),
        ({"n": {"choices": [1], "when": {"m": 1}}, "m": [1]}, "must be a parameter above it"),
        ({"m": [1, 2], "n": {"choices": [1], "when": {"m": 3}}}, "never chosen"),
    ],
)
def test_nonsense_is_refused(node, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        space_of(node)


def test_a_grid_of_a_continuous_range_is_refused():
    with pytest.raises(ConfigurationError, match=r"every value of lr.*sweep=random"):
        grid(space_of({"lr": {"low": 0.1, "high": 0.2}}))
