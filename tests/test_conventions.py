"""A file, and a function, can be held in the head."""

from statistics import median, quantiles

import pytest

from house import MODULES, functions


@pytest.mark.parametrize("name", MODULES)
def test_a_file_can_be_read_in_one_sitting(name):
    assert len(MODULES[name].read_text().splitlines()) <= 300


def test_a_function_fits_in_the_head():
    lines = functions()
    assert median(lines) <= 5
    assert quantiles(lines, n=10)[-1] <= 15
