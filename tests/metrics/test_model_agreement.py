"""How far models that differ in their seed found the same units."""

import numpy as np
import pytest

from aelab.core.errors import InapplicableError
from aelab.metrics.disentanglement import udr


def grid(levels=5, units=4):
    """Codes whose units are exactly independent."""
    return np.stack(np.meshgrid(*[np.arange(levels)] * units, indexing="ij"), -1).reshape(-1, units)


ALL, CODES = np.ones(4), grid()


def test_models_agree_up_to_order_and_sign():
    z = grid()
    scores, average = udr([z, -z[:, [3, 1, 0, 2]], np.exp(z) * [1, -1, 1, -1]], [ALL] * 3)
    assert [score.value for score in scores] == pytest.approx([1, 1, 1])
    assert average.value == pytest.approx(1)
    assert (average.count, scores[0].count) == (3, 2)


def test_models_of_chance_do_not_agree():
    rng = np.random.default_rng(0)
    scores, average = udr([rng.normal(size=(2000, 4)) for _ in range(3)], [ALL] * 3)
    assert 0 < average.value < 0.05
    assert len(scores) == 3


def test_the_agreement_of_units_that_are_known():
    z = grid(5, 2)
    twice = z[:, [0, 0]]
    # Both of the twins have one like them, which has two, and the other unit none: (1 + 1 + 1/2 + 0) / 4.
    scores, _ = udr([z, twice], [ALL[:2]] * 2)
    assert [score.value for score in scores] == pytest.approx([5 / 8, 5 / 8])
    # A twin that is not informative is not counted: (1 + 1 + 0) / 3.
    scores, _ = udr([z, twice], [ALL[:2], np.array([1, 0.009])])
    assert scores[0].value == pytest.approx(2 / 3)
    # A model's score is the median over the others: 1, 5/8 and 0, as nothing of the last is informative.
    four = udr([z, z, twice, z], [ALL[:2], ALL[:2], ALL[:2], np.zeros(2)])
    assert [score.value for score in four[0]] == pytest.approx([5 / 8, 5 / 8, 5 / 8, 0])
    assert four[1].value == pytest.approx(15 / 32)
    assert four[0][0].error == pytest.approx(1.2533 * np.std([1, 5 / 8, 0], ddof=1) / 3**0.5)


def test_models_may_differ_in_their_number_of_units():
    z = grid()
    rng = np.random.default_rng(0)
    wide = np.concatenate([z, rng.normal(size=(len(z), 3))], 1)
    scores, _ = udr([z, wide], [ALL, np.array([1, 1, 1, 1, 0, 0, 0])])
    assert scores[0].value == pytest.approx(1)


@pytest.mark.parametrize(
    ("codes", "kl", "told"),
    [
        ([CODES], [ALL], "two or more models"),
        ([CODES, CODES[:-1]], [ALL, ALL], "on the same images"),
        ([CODES, CODES], [ALL, ALL[:2]], "one number for each unit"),
        ([CODES, CODES], [ALL], "one number for each unit"),
        ([CODES, CODES + np.inf], [ALL, ALL], "finite codes"),
    ],
)
def test_models_that_cannot_be_compared_are_refused(codes, kl, told):
    with pytest.raises(InapplicableError, match=told):
        udr(codes, kl)
