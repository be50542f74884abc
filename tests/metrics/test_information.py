"""What units tell of factors, in nats, and the measures that are made of it."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.metrics.disentanglement import entropy, mig, modularity, mutual_information


def test_mutual_information_of_a_joint_table():
    codes, factors = np.divmod(np.arange(12), 4)
    grid = np.repeat([codes, factors], 5, axis=1).T
    independent = mutual_information(grid[:, :1], grid[:, 1:])
    assert independent == pytest.approx(np.zeros((1, 1)), abs=1e-12)
    assert mutual_information(grid, grid) == pytest.approx(np.diag([math.log(3), math.log(4)]))
    assert entropy(grid) == pytest.approx([math.log(3), math.log(4)])
    # 3/8 1/8 over 1/8 3/8, with a constant beside them on both sides.
    unit, factor = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [3, 1, 1, 3], axis=0).T
    expected = 2 * (3 / 8 * math.log(3 / 2) + 1 / 8 * math.log(1 / 2))
    still = np.zeros(8, dtype=int)
    found = mutual_information(np.stack([unit - 2.5, still], 1), np.stack([still, factor], 1))
    assert found == pytest.approx(np.array([[0, expected], [0, 0]]), abs=1e-12)
    assert entropy(np.stack([still, factor], 1)) == pytest.approx([0, math.log(2)])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_mutual_information_is_that_of_scikit_learn(seed, bins):
    from sklearn.metrics import mutual_info_score

    rng = np.random.default_rng(seed)
    factors = rng.integers(0, [2, 7, 40], (200, 3))
    codes = np.concatenate([rng.normal(size=(200, 2)), factors[:, :1] + rng.normal(size=(200, 1))], 1)
    found = mutual_information(codes, factors, bins)
    for (d, k), value in np.ndenumerate(found):
        binned = np.digitize(codes[:, d], np.histogram(codes[:, d], bins)[1][:-1])
        assert value == pytest.approx(mutual_info_score(factors[:, k], binned), abs=1e-9)


def test_the_gap_of_a_unit_that_is_right_three_times_of_four():
    factor = np.repeat([0, 1], 40)
    right = np.tile([1, 1, 1, 0], 20).astype(bool)
    codes = np.stack([np.where(right, factor, 1 - factor), factor, np.zeros(80)], 1)
    missing = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)) / math.log(2)
    assert mig(codes, factor[:, None]).value == pytest.approx(missing)
    two = np.stack([factor, np.zeros(80, dtype=int)], 1)  # a factor of one level has no gap
    assert mig(codes, two).value == pytest.approx(missing)
    assert mig(codes[:, :2] * [1, 0], two).value == pytest.approx(1 - missing)


def test_levels_on_the_edges_of_bins_stay_there():
    level = np.tile(np.arange(41), 5)[:, None]  # every other one on an edge
    plain = mutual_information(level, level)
    for scale in (0.1, 0.3, 0.7, 3.3):
        for shift in (0.1, 0.7, 5.3):
            assert mutual_information(scale * level + shift, level) == pytest.approx(plain)


def test_more_levels_than_bins_bound_the_gap():
    level = np.repeat(np.arange(40), 10)
    codes = np.stack([level, np.zeros(400)], 1)
    assert mig(codes, level[:, None]).value == pytest.approx(math.log(20) / math.log(40), abs=1e-3)
    assert mig(codes, level[:, None], bins=40).value == pytest.approx(1)


def test_modularity_of_units_that_are_known():
    first, second = np.divmod(np.arange(80) % 4, 2)
    factors = np.stack([first, second], 1)
    alone, both, nothing = first, 2 * first + second, np.zeros(80)
    for units, expected in (
        ([alone], 1),
        ([both], 0),  # ln 2 of each
        ([alone, both], 1 / 2),
        ([alone, nothing], 1 / 2),  # what tells nothing is not modular
    ):
        assert modularity(np.stack(units, 1), factors).value == pytest.approx(expected, abs=1e-9)
    # Three factors, of which the unit tells one and half as many nats of another: 1 - (1/4) / 2.
    third = np.arange(80) // 4 % 2
    four = 2 * first + second
    factors = np.stack([four, first, third], 1)
    assert modularity(four[:, None], factors).value == pytest.approx(1 - 1 / 8)
