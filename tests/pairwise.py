"""Rows of choices in which any two choices of two groups meet, in the place of the product of all groups."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import combinations, product

Row = dict[str, str]
Choice = tuple[str, str]
"""Of a group, by the group's name."""


def pairwise(
    groups: Mapping[str, Sequence[str]],
    refused: Callable[[Row], bool] = lambda _: False,
    apart: Collection[set[str]] = (),
) -> list[Row]:
    """Rows of one choice for each group, found greedily, the same at every call (Cohen et al., AETG, 1997).

    Every pair of choices stands in one of them, but for the pairs of two groups that are `apart`. No row is
    `refused`, which answers for parts of rows too.
    """
    choices = {name: [(name, choice) for choice in groups[name]] for name in groups}
    waiting = {
        frozenset(pair): None
        for one, other in combinations(groups, 2)
        if {one, other} not in apart
        for pair in product(choices[one], choices[other])
        if not refused(dict(pair))
    }
    used: Counter[Choice] = Counter()
    rows = []
    while waiting:
        row = dict(next(iter(waiting)))
        for name in [name for name in groups if name not in row]:
            free = [choice for choice in choices[name] if not refused(row | dict([choice]))]
            gains = {choice: sum(frozenset({choice, c}) in waiting for c in row.items()) for choice in free}
            row |= [max(free, key=lambda choice: (gains[choice], -used[choice]))]
        for pair in combinations(row.items(), 2):
            waiting.pop(frozenset(pair), None)
        used.update(row.items())
        rows.append({name: row[name] for name in groups})
    return rows
