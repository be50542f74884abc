"""The rows that stand for a product of groups leave no pair out, and are few."""

from itertools import combinations, product

import pytest
from pairwise import pairwise

GROUPS = {"a": "12345", "b": "678", "c": "xyz", "d": "rs", "e": "uv"}


def met(rows, one, other):
    return {(row[one], row[other]) for row in rows}


def test_any_two_choices_meet_in_hardly_more_rows_than_the_largest_two_groups_need():
    rows = pairwise(GROUPS)
    for one, other in combinations(GROUPS, 2):
        assert met(rows, one, other) == set(product(GROUPS[one], GROUPS[other]))
    assert 15 <= len(rows) <= 17
    assert rows == pairwise(GROUPS)


def test_a_refused_pair_is_in_no_row_and_costs_no_other():
    rows = pairwise(GROUPS, lambda row: row.get("a") == "1" and row.get("c", "x") != "x")
    for one, other in combinations(GROUPS, 2):
        wanted = set(product(GROUPS[one], GROUPS[other])) - {("1", "y"), ("1", "z")}
        assert met(rows, one, other) == wanted


@pytest.mark.parametrize("group", "bc")
def test_groups_that_are_apart_need_fewer_rows(group):
    rows = pairwise(GROUPS, apart=[{"a", "b"}, {"a", "c"}])
    assert len(rows) <= 11
    assert met(rows, group, "d") == set(product(GROUPS[group], GROUPS["d"]))
    assert {row["a"] for row in rows} == set(GROUPS["a"])
