"""Phrases of tokens against counting by hand."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from aelab.core.errors import InapplicableError
from aelab.metrics.phrases import SIZE, phrases_of, variety


def sequences(count, length, seed, vocabulary=5):
    rng = np.random.default_rng(seed)
    found = rng.integers(2, vocabulary, (count, length))
    for row, end in zip(found, rng.integers(0, length + 1, count), strict=True):
        row[end:] = 0
        row[end : end + 1] = 1
    return found


def by_hand(tokens):
    rows = [[t for t in row if t] for row in tokens.tolist()]
    return [[tuple(row[i : i + SIZE]) for i in range(len(row) - SIZE + 1)] for row in rows]


def test_they_are_those_counted_by_hand():
    tokens, known = sequences(60, 9, 0), sequences(40, 12, 1)
    ours, theirs = by_hand(tokens), {p for row in by_hand(known) for p in row}
    every = [p for row in ours for p in row]
    distinct, shared, copied = variety(tokens, known)
    assert distinct.value == len(set(every)) / len(every)
    assert shared.value == pytest.approx(sum(p in theirs for p in every) / len(every))
    whole = {tuple(t for t in row if t) for row in known.tolist()}
    assert copied.value == np.mean([tuple(t for t in row if t) in whole for row in tokens.tolist()])
    assert 0 < shared.value < 1


def test_numbers_are_equal_where_phrases_are():
    tokens = sequences(50, 8, 2, vocabulary=60_000)
    numbers, owners = phrases_of(tokens, size=2)
    pairs = [(i, pair) for i, row in enumerate(tokens.tolist()) for pair in pairwise(row) if all(pair)]
    assert owners.tolist() == [i for i, _ in pairs]
    assert Counter(numbers.tolist()).most_common(1)[0][1] == max(Counter(p for _, p in pairs).values())
    assert len(set(numbers.tolist())) == len({p for _, p in pairs})


def test_copies_are_all_known_and_short_or_countless_tokens_are_refused():
    tokens = sequences(20, 9, 3)
    _, shared, copied = variety(tokens, tokens)
    assert (shared.value, copied.value) == (1, 1)
    with pytest.raises(InapplicableError, match="no sequence has 4 tokens"):
        variety(tokens[:, :3], tokens)
    with pytest.raises(InapplicableError, match="no number"):
        phrases_of(np.array([[70_000] * 5]))
