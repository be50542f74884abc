"""Uncertainties: numpy's, and those that cover the truth as often as they say."""

import numpy as np
import pytest

from aelab.metrics.estimate import bootstrap, mean


def test_the_error_of_a_mean_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(3, 2, 50)
    found = mean(values.astype(np.float32), "nats", "of 50")
    assert found.value == pytest.approx(values.mean(), rel=1e-6)
    assert found.error == pytest.approx(np.std(values, ddof=1) / 50**0.5, rel=1e-6)
    assert (found.count, found.unit, found.note, found.interval) == (50, "nats", "of 50", None)
    assert mean(np.array([2.0]), "nats").error is None
    assert mean(np.array([True, False, True, True]), "fraction").value == 0.75


def test_bootstrap_intervals_cover_the_truth_as_often_as_they_say():
    covered = 0
    for seed in range(100):
        values = np.random.default_rng(seed).normal(0, 1, 80)
        found = bootstrap(lambda index, v=values: float(np.median(v[index])), 80, "nats", seed=seed)
        covered += found.interval[0] <= 0 <= found.interval[1]
    assert 85 <= covered <= 100


def test_a_bootstrap_repeats_itself_and_is_of_all_observations():
    values = np.random.default_rng(1).exponential(size=60)

    def spread(index):
        return float(values[index].std())

    first, again, other = (bootstrap(spread, 60, "nats", seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first.value == other.value == values.std()
    assert first.interval != other.interval
