"""Uncertainties: numpy's, and those that cover the truth as often as they say."""

import numpy as np
import pytest

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import bootstrap, jackknife, mean

NATS, SHARE = Quantity("kl", "nats"), Quantity("share", "fraction", True)


def test_the_error_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(3, 2, 50)
    found = mean(values.astype(np.float32), NATS, "of 50")
    assert found.value == pytest.approx(values.mean(), rel=1e-6)
    assert found.error == pytest.approx(np.std(values, ddof=1) / 50**0.5, rel=1e-6)
    assert (found.count, found.quantity, found.note, found.interval) == (50, NATS, "of 50", None)
    assert mean(np.array([2.0]), NATS).error is None
    # In float32 the sum of these would stop growing.
    many = mean(np.tile(np.array([2.0**24, 1], dtype=np.float32), 1000), NATS)
    assert (many.value, type(many.value)) == ((2.0**24 + 1) / 2, float)
    assert mean(np.array([True, False, True, True]), SHARE).value == 0.75


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say():
    covered = []
    for seed in range(400):
        values = np.random.default_rng(seed).normal(0, 1, 80)
        low, high = bootstrap(lambda index, v=values: float(v[index].mean()), 80, NATS, seed=seed).interval
        covered.append(low <= 0 <= high)
    assert 0.92 <= np.mean(covered) <= 0.98


def test_an_interval_is_that_of_the_percentiles():
    """Of the exponential law: a skewed one, where percentiles and their reflection differ."""
    values = np.random.default_rng(0).exponential(size=40)
    index = np.random.default_rng(1).integers(40, size=(20_000, 40))
    expected = np.quantile(np.square(values[index]).mean(1), [0.025, 0.975])
    found = bootstrap(
        lambda index: float(np.square(values[index]).mean()), 40, NATS, resamples=4000, note="n"
    )
    assert found.interval == pytest.approx(tuple(expected), rel=0.03)
    assert expected.sum() - 2 * found.value > 0.05 * (expected[1] - expected[0])
    assert (found.count, found.quantity, found.note, found.error) == (40, NATS, "n", None)


def test_a_bootstrap_repeats_itself_and_is_of_all_observations():
    values = np.random.default_rng(1).exponential(size=60)

    def spread(index):
        return float(values[index].std())

    first, again, other = (bootstrap(spread, 60, NATS, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value == other.value == values.std()
    assert first.interval != other.interval


def test_a_left_out_group_tells_the_error_of_a_mean():
    values = np.random.default_rng(0).gamma(2.0, size=(2000, 2)) * [1, 5]
    error = jackknife(lambda index: values[index].mean(0), 2000, groups=500, seed=0)
    assert error == pytest.approx(values.std(0) / 2000**0.5, rel=0.1)


def test_the_error_of_two_sets_is_that_of_both():
    """Of a difference of means."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(0, 1, 3000), rng.normal(0, 2, 1000)
    error = jackknife(lambda i, j: x[i].mean() - y[j].mean(), 3000, 1000, groups=500, seed=0)
    assert error == pytest.approx((x.var() / 3000 + y.var() / 1000) ** 0.5, rel=0.1)
    with pytest.raises(InapplicableError, match="15 images are too few for an error: give 20 or more"):
        jackknife(lambda i, j: 0.0, 3000, 15, groups=10, seed=0)
