"""The alignment of two codes of the same observations, by their kernels."""

import numpy as np
import pytest

from aelab.metrics.representation import cka


def alignment_by_kernels(a, b):
    centre = np.eye(len(a)) - 1 / len(a)
    k, m = (centre @ (x @ x.T) @ centre for x in (a, b))
    return (k * m).sum() / ((k * k).sum() * (m * m).sum()) ** 0.5


def related(count, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count, 4)) * [3, 2, 1, 1]
    return a, a @ np.arange(12).reshape(4, 3) / 6 + rng.exponential(4, (count, 3))


def test_the_alignment_is_that_of_the_kernels():
    a, b = related(40)
    expected = alignment_by_kernels(a, b)
    assert 0.1 < expected < 0.9
    assert cka(a, b).value == pytest.approx(expected, rel=1e-9)


def test_a_code_is_aligned_with_itself_turned_scaled_and_moved():
    a, _ = related(500)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]
    turned = cka(a, 7 * a @ turn + 3)
    assert turned.value == pytest.approx(1, abs=1e-12)
    assert turned.error == pytest.approx(0, abs=1e-9)
    assert cka(a, a * [1, 5, 1, 1]).value < 0.95  # it is not blind to every linear map


def test_independent_codes_are_aligned_as_little_as_chance_allows():
    rng = np.random.default_rng(0)
    values = [cka(rng.normal(size=(1000, 4)), rng.normal(size=(1000, 9))).value for _ in range(50)]
    assert np.mean(values) == pytest.approx((4 * 9) ** 0.5 / 1000, rel=0.15)


def test_the_error_of_the_alignment_is_its_deviation_over_samples():
    found = [cka(*related(400, seed)) for seed in range(300)]
    deviation = np.std([estimate.value for estimate in found])
    assert deviation == pytest.approx(np.mean([estimate.error for estimate in found]), rel=0.12)
