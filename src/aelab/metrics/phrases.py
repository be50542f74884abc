"""How varied sequences of tokens are, and how much of them stands word for word in other sequences."""

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, mean, ratio
from aelab.models.distributions.sequences import PAD

SIZE = 4
DISTINCT = Quantity(f"distinct_{SIZE}grams", "fraction")
KNOWN = Quantity(f"known_{SIZE}grams", "fraction")
COPIED = Quantity("copied_sequences", "fraction")


def variety(tokens: np.ndarray, known: np.ndarray) -> list[Estimate]:
    """Of sequences of tokens (N, T) and known ones (M, S), padded with zeros behind their ends:

    distinct_4grams: different phrases of four tokens over all of them (Li et al. 2016,
    https://arxiv.org/abs/1510.03055), which falls with N and has no error; known_4grams: the share of phrases
    that known sequences hold; copied_sequences: the share of sequences that are known.

    Raises InapplicableError where no sequence is as long, or tokens are too many for a phrase's number.
    """
    phrases, owners = phrases_of(tokens)
    if not len(phrases):
        raise InapplicableError(f"no sequence has {SIZE} tokens")
    stands = np.isin(phrases, phrases_of(known)[0])
    counts, found = (np.bincount(owners, weight, len(tokens)) for weight in (None, stands))
    whole = {row.tobytes() for row in _wide(known, tokens)}
    copied = np.array([row.tobytes() in whole for row in _wide(tokens, known)])
    return [
        Estimate(len(np.unique(phrases)) / len(phrases), DISTINCT, len(tokens)),
        ratio(found, counts, KNOWN),
        mean(copied, COPIED),
    ]


def phrases_of(tokens: np.ndarray, size: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    """The phrases of `size` tokens in sequences (N, T), as numbers that are equal where they are, and the
    sequence that each stands in; padding is of none.

    >>> phrases_of(np.array([[5, 4, 1, 0]]), size=2)[0].tolist()
    [17179869189, 4294967300]
    """
    if tokens.max(initial=0) >= 2 ** (64 // size):
        raise InapplicableError(f"of {tokens.max()} tokens a phrase of {size} has no number of 64 bits")
    if tokens.shape[1] < size:
        return np.empty(0, np.uint64), np.empty(0, int)
    windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.uint64), size, 1)
    shifts = np.arange(size, dtype=np.uint64) * np.uint64(64 // size)
    numbers = (windows << shifts).sum(-1, dtype=np.uint64)
    owners, places = np.nonzero((windows != PAD).all(-1))
    return numbers[owners, places], owners


def _wide(tokens: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The sequences as wide as the wider ones, so that equal ones have equal bytes."""
    width = max(tokens.shape[1], others.shape[1])
    return np.pad(tokens.astype(np.int64), ((0, 0), (0, width - tokens.shape[1])))
