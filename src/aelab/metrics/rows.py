"""How like the rows of a table generated ones are: by columns, by pairs, to a classifier, and as data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest

from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, mean
from aelab.metrics.generation import TWO_SAMPLE_ACCURACY

COLUMN_DISTANCE = Quantity("column_distance", "fraction", False)
CORRELATION_GAP = Quantity("correlation_gap", "correlation", False)
TRAINED_ON_SAMPLES = Quantity("trained_on_samples", "fraction", True)
TREES = 100
FEWEST = 4  # rows, half of which a classifier is shown


def likeness(fake: np.ndarray, real: np.ndarray, sizes: Sequence[int], seed: int) -> list[Estimate]:
    """Of generated rows (N, D), held against test rows (M, D):

    column_distance: the mean over columns of the largest difference between shares of values up to some
    number (Kolmogorov and Smirnov), or of half the sum over categories of differences of their shares.
    correlation_gap: the mean over pairs of columns of |r of samples - r of test rows|, each category being a
    number that is 0 or 1. two_sample_accuracy: of a random forest that tells test rows from samples, on rows
    that it did not see: 0.5 where it cannot (Lopez-Paz and Oquab 2017, https://arxiv.org/abs/1610.06545).
    trained_on_samples: the share of right categories in test rows, to forests that read the other cells and
    learned from samples alone (Esteban et al. 2017, https://arxiv.org/abs/1706.02633).

    The latter two are left out for fewer than four rows, and without a column of categories.
    sizes: how many categories each column has, whose places its cells are; 0 for numbers. A missing cell is
    NaN; where a test row misses one, so does the sample that it is held against.
    """
    distance = np.mean([_apart(f, r, n) for f, r, n in zip(fake.T, real.T, sizes, strict=True)])
    paired = _missing_as(fake, real)
    gap = np.abs(_correlations(paired, sizes) - _correlations(real, sizes))
    found = [
        Estimate(float(distance), COLUMN_DISTANCE, len(fake)),
        Estimate(float(gap.mean()) if len(gap) else 0.0, CORRELATION_GAP, len(fake)),
    ]
    if len(paired) >= FEWEST:
        found.append(_told_apart(paired, real, seed))
    learned = _learned(fake, real, sizes, seed)
    return found if learned is None else [*found, learned]


def _missing_as(fake: np.ndarray, others: np.ndarray) -> np.ndarray:
    """As many samples as the fewer of both are, without the cells that the others miss."""
    few = min(len(fake), len(others))
    return np.where(np.isnan(others[:few]), np.nan, fake[:few])


def _apart(a: np.ndarray, b: np.ndarray, size: int) -> float:
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        return 0.0
    if size:
        shares = [np.bincount(x.astype(int), minlength=size) / len(x) for x in (a, b)]
        return float(np.abs(shares[0] - shares[1]).sum() / 2)
    places = np.concatenate([a, b])
    ranks = [np.searchsorted(np.sort(x), places, side="right") / len(x) for x in (a, b)]
    return float(np.abs(ranks[0] - ranks[1]).max())


def _correlations(rows: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """Between the numbers of each two columns, a missing cell as the mean of its column: (pairs,)."""
    parts = [_numbers(column, size) for column, size in zip(rows.T, sizes, strict=True)]
    owner = np.repeat(np.arange(len(parts)), [part.shape[1] for part in parts])
    x = np.concatenate(parts, 1)
    known = ~np.isnan(x)
    x = np.where(known, x - np.nansum(x, 0) / np.maximum(known.sum(0), 1), 0.0)
    x /= np.maximum(np.sqrt(np.square(x).sum(0)), 1e-12)
    return (x.T @ x)[owner[:, None] < owner[None]]


def _numbers(column: np.ndarray, size: int) -> np.ndarray:
    if not size:
        return column[:, None]
    each = (column[:, None] == np.arange(size)).astype(float)
    return np.where(np.isnan(column)[:, None], np.nan, each)


def _told_apart(fake: np.ndarray, real: np.ndarray, seed: int) -> Estimate:
    from sklearn.model_selection import train_test_split

    x, y = np.concatenate([real[: len(fake)], fake]), np.repeat([0, 1], len(fake))
    seen, held_out, told, truth = train_test_split(x, y, test_size=0.5, stratify=y, random_state=seed)
    right = _forest(seen, told, seed).predict(held_out) == truth
    p = binomtest(int(right.sum()), len(right), alternative="greater").pvalue
    return mean(right, TWO_SAMPLE_ACCURACY, f"p = {p:.2g} for chance")


def _learned(fake: np.ndarray, real: np.ndarray, sizes: Sequence[int], seed: int) -> Estimate | None:
    """The mean over columns of categories, for each test row that has one."""
    right = np.full(real.shape, np.nan)
    for place, size in enumerate(sizes if real.shape[1] > 1 else ()):
        shown, asked = (rows[~np.isnan(rows[:, place])] for rows in (fake, real))
        if size > 1 and len(shown) and len(asked):
            forest = _forest(np.delete(shown, place, 1), shown[:, place], seed)
            found = forest.predict(np.delete(asked, place, 1)) == asked[:, place]
            right[~np.isnan(real[:, place]), place] = found
    told = ~np.isnan(right).all(1)
    return mean(np.nanmean(right[told], 1), TRAINED_ON_SAMPLES) if told.any() else None


def _forest(x: np.ndarray, y: np.ndarray, seed: int) -> Any:
    """Fitted to rows, of which some may miss cells."""
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(TREES, random_state=seed, n_jobs=1).fit(x, y)
