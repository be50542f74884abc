"""What counts as a number in a record that may come from anywhere."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aelab.core.checks import is_number


@given(st.one_of(st.integers(), st.floats(), st.integers().map(lambda n: 10**300 * n)))
def test_a_number_is_one_that_a_float_can_hold(value):
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    assert is_number(value) == finite


@pytest.mark.parametrize("value", [None, True, False, "1", [1], {}, 1j])
def test_nothing_else_is_one(value):
    assert not is_number(value)
