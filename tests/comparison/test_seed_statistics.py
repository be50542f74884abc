"""Against scipy, hand values, and cases whose answer is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aelab.comparison.statistics import (
    _resamples,
    against,
    best_of,
    holm,
    interval,
    paired,
    ranked,
    summaries,
)

NOISE = (0.1, -0.2, 0.05, 0.15, -0.1)


def seeds(mean, noise=NOISE):
    return {seed: mean + value for seed, value in enumerate(noise)}


def test_the_paired_test_is_scipys():
    rng = np.random.default_rng(0)
    for count in (2, 3, 10):
        a, b = rng.normal(size=(2, count))
        expected = stats.ttest_rel(a, b).pvalue
        assert paired(dict(enumerate(a)), dict(enumerate(b))) == pytest.approx(expected, rel=1e-9)


def test_only_shared_seeds_are_paired():
    a, b = {0: 1.0, 1: 2.0, 2: 4.0, 7: 99.0}, {2: 1.5, 1: 1.0, 0: 0.7, 5: -99.0}
    assert paired(a, b) == pytest.approx(stats.ttest_rel([1, 2, 4], [0.7, 1, 1.5]).pvalue)
    assert paired({0: 1.0, 1: 2.0}, {1: 1.0, 2: 3.0}) is None


def test_equal_values_do_not_differ_and_constant_differences_are_not_tested():
    assert paired(seeds(1), seeds(1)) == 1.0
    assert paired({0: 16.0, 1: 16.0, 2: 16.0}, {0: 15.0, 1: 15.0, 2: 15.0}) is None


def test_holm_by_hand():
    # 0.01 * 4, then max(0.04, 0.02 * 3), 0.025 * 2 below that, and 0.5 * 1.
    assert holm({"d": 0.5, "a": 0.01, "c": 0.025, "b": 0.02}) == pytest.approx(
        {"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.5}
    )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(values):
    adjusted = holm(dict(enumerate(values)))
    for index, p in enumerate(values):
        assert p <= adjusted[index] <= min(1.0, len(values) * p) + 1e-12


def test_the_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(1).normal(size=8)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert interval(tuple(values)) == pytest.approx(expected, abs=0.05)
    assert interval((1.0, 2.0)) is None


def test_an_interval_is_the_same_in_each_process():
    first = interval(NOISE)
    _resamples.cache_clear()
    assert interval(NOISE) == first


def test_a_summary_is_of_all_values_in_the_order_of_their_seeds():
    found = summaries({"a": {2: 3.0, 0: 1.0, 1: 2.5}}, "a", True)["a"]
    assert found.values == (1.0, 2.5, 3.0)
    assert found.interval == interval((1.0, 2.5, 3.0)) is not None
    assert found.note == ""
    assert not found.best  # of one group nobody is the best


def test_a_summary_has_the_corrected_p_value_against_the_baseline():
    groups = {"base": seeds(1), "near": seeds(1.1, NOISE[::-1]), "far": seeds(2, NOISE[::-1])}
    tested = {name: paired(groups[name], groups["base"]) for name in ("near", "far")}
    found = summaries(groups, "base", True)
    assert {name: summary.p for name, summary in found.items()} == {"base": None, **holm(tested)}
    assert found["far"].p == 2 * tested["far"] < found["near"].p
    untested = summaries({"a": seeds(1), "base": {}}, "base", True)
    assert untested["a"].p is None


def test_the_smallest_p_value_is_none_the_less_one():
    certain = {seed: 1 + 1e-10 * (seed % 2) for seed in range(60)}
    assert against({"a": certain, "b": dict.fromkeys(range(60), 0.0)}, "b") == {"a": 0.0}


def test_mean_deviation_and_rank():
    found = summaries({"a": {0: 1.0, 1: 3.0}, "b": {0: 5.0}, "c": {0: 2.0, 1: 2.0}, "d": {}}, "a", True)
    assert (found["a"].mean, found["a"].deviation) == (2.0, pytest.approx(2**0.5))
    assert {name: summary.rank for name, summary in found.items()} == {"a": 2.5, "b": 1.0, "c": 2.5}
    assert found["b"].deviation is None
    assert "1 of 3" in found["b"].note
    assert found["a"].p is None
    assert found["b"].p is None


def test_ranks_follow_the_direction():
    assert ranked({"a": 1.0, "b": 2.0}, False) == {"a": 1.0, "b": 2.0}
    assert ranked({"a": 1.0, "b": 2.0}, True) == {"a": 2.0, "b": 1.0}
    assert ranked({"a": 1.0, "b": 2.0}, None) == {}


def test_a_clear_leader_is_best_by_its_direction():
    groups = {"low": seeds(1), "high": seeds(9, NOISE[::-1]), "middle": seeds(5, np.sin(range(5)) / 9)}
    assert [n for n, s in summaries(groups, "low", True).items() if s.best] == ["high"]
    assert [n for n, s in summaries(groups, "low", False).items() if s.best] == ["low"]
    assert not any(s.best for s in summaries(groups, "low", None).values())


def test_nobody_is_best_among_equals_or_ahead_of_some_only():
    equal = {"a": seeds(1), "b": seeds(1), "c": seeds(1)}
    assert not any(s.best for s in summaries(equal, "a", True).values())
    close = {"a": seeds(9), "b": seeds(9.01, NOISE[::-1]), "c": seeds(1, NOISE[::-1])}
    assert not any(s.best for s in summaries(close, "a", True).values())


def test_more_groups_ask_for_more_of_the_best():
    groups = {"a": seeds(1.25, NOISE[::-1]), "b": seeds(1)}
    means = {name: float(np.mean(list(values.values()))) for name, values in groups.items()}
    p = paired(groups["a"], groups["b"])
    assert best_of(groups, means, True, 1.5 * p) == "a"
    assert (
        best_of({**groups, "c": seeds(-9, NOISE[::2] + NOISE[::3])}, {**means, "c": -9}, True, 1.5 * p)
        is None
    )


def test_who_leads_only_by_seeds_of_its_own_is_not_best():
    groups = {"a": {0: 1.0, 1: 1.1, 2: 0.9, 9: 100.0}, "b": {0: 2.0, 1: 2.2, 2: 1.9}}
    assert paired(groups["a"], groups["b"]) < 0.01
    assert not any(s.best for s in summaries(groups, "b", True).values())


def test_one_seed_makes_nobody_best():
    assert not any(s.best for s in summaries({"a": {0: 1.0}, "b": {0: 9.0}}, "a", True).values())


def test_a_group_without_shared_seeds_denies_the_leader():
    groups = {"a": seeds(9, NOISE[::-1]), "b": seeds(1), "c": {100: 1.0, 101: 1.1}}
    assert not any(s.best for s in summaries(groups, "b", True).values())


def test_among_equal_groups_a_leader_is_rarely_called_best():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(400):
        groups = {name: dict(enumerate(rng.normal(size=3))) for name in "abcdef"}
        means = {name: float(np.mean(list(values.values()))) for name, values in groups.items()}
        wrong += best_of(groups, means, True, 0.05) is not None
    assert wrong / 400 <= 0.05
