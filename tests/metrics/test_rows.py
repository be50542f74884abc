"""Generated rows beside those of a table, where closed forms and the data themselves say what is right."""

import numpy as np
import pytest
from scipy.stats import ks_2samp

from aelab.metrics.rows import likeness

SIZES = [0, 0, 3]


def table(count, seed, noise=0.1):
    """Two numbers that go together, and a category that the sign of the first tells but for one in three."""
    generator = np.random.default_rng(seed)
    a = generator.normal(size=count)
    b = a + noise * generator.normal(size=count)
    return np.stack([a, b, np.where(a > 0, 2.0, generator.integers(0, 2, count))], 1)


def found(fake, real, sizes=SIZES):
    return {each.quantity.name: each for each in likeness(fake, real, sizes, 0)}


def test_rows_themselves_differ_in_no_column_and_no_pair():
    x = table(200, 0)
    same = found(x, x)
    assert same["column_distance"].value == same["correlation_gap"].value == 0


def test_rows_of_the_same_table_are_told_apart_by_chance_alone_and_teach_as_much():
    fresh = found(table(2000, 0), table(2000, 1))
    assert abs(fresh["two_sample_accuracy"].value - 0.5) < 4 * fresh["two_sample_accuracy"].error
    # Where the first number is below 0 the category is one of two at random: 1/2 + 1/2 * 1/2.
    assert fresh["trained_on_samples"].value == pytest.approx(0.75, abs=0.03)


def test_columns_are_as_far_apart_as_scipy_says():
    real, fake = table(300, 0), table(500, 1)
    fake[:, 0] += 0.7
    shares = [np.bincount(x[:, 2].astype(int), minlength=3) / len(x) for x in (real, fake)]
    each = [ks_2samp(real[:, place], fake[:, place]).statistic for place in (0, 1)]
    expected = np.mean([*each, np.abs(shares[0] - shares[1]).sum() / 2])
    assert found(fake, real)["column_distance"].value == pytest.approx(expected)


def test_shuffled_columns_lose_their_correlations_and_teach_nothing():
    real, fake = table(4000, 0), table(4000, 1)
    generator = np.random.default_rng(2)
    fake = np.stack([generator.permutation(column) for column in fake.T], 1)
    shuffled = found(fake, real)
    others = np.stack([real[:, 0], real[:, 1], *(real[:, 2] == np.arange(3)[:, None])])
    r = np.corrcoef(others)
    pairs = [r[0, 1], *r[0, 2:], *r[1, 2:]]  # and none between the categories of one column
    assert shuffled["correlation_gap"].value == pytest.approx(np.abs(pairs).mean(), abs=0.03)
    assert shuffled["two_sample_accuracy"].value > 0.9
    assert shuffled["trained_on_samples"].value < 0.6


def test_samples_are_not_known_by_missing_no_cell():
    real, fake = table(2000, 0), table(2000, 1)
    real[np.random.default_rng(3).random(real.shape) < 0.3] = np.nan
    holes = found(fake, real)
    assert abs(holes["two_sample_accuracy"].value - 0.5) < 4 * holes["two_sample_accuracy"].error
    assert holes["column_distance"].value < 0.06
    assert holes["correlation_gap"].value < 0.06
    whole = found(fake, table(2000, 0))["trained_on_samples"]
    assert holes["trained_on_samples"].value < whole.value  # where the number that tells it is missing
    assert found(real, fake)["trained_on_samples"].value == pytest.approx(0.75, abs=0.04)  # as a floor is


def test_what_is_not_there_is_left_out():
    x = np.random.default_rng(0).normal(size=(3, 2))
    assert found(x, x, [0, 0]).keys() == {"column_distance", "correlation_gap"}
    assert found(x[:, :1], x[:, :1], [0])["correlation_gap"].value == 0
    assert "trained_on_samples" not in found(np.ones((8, 1)), np.ones((8, 1)), [2])
    empty = np.full((8, 2), np.nan)
    assert all(np.isfinite(each.value) for each in found(x, empty, [0, 0]).values())
