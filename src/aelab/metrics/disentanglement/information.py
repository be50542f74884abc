"""What units tell about factors, in nats: mutual information, its gap, and modularity."""

from collections.abc import Callable

import numpy as np

from aelab.core.quantity import Quantity
from aelab.metrics.disentanglement.observations import compact, observed, prepared
from aelab.metrics.estimate import ROUGH, Estimate, Seed, jackknife

BINS = 20
GROUPS = 20
SLACK = 1e-6  # of a bin: a level that lies on an edge stays there, however it was rounded


def _binned(codes: np.ndarray, bins: int) -> np.ndarray:
    """Codes (N, D) as integers 0..bins-1, in bins of equal width over the range of a unit."""
    low, width = codes.min(0), np.ptp(codes, axis=0)
    place = (codes - low) / np.where(width > 0, width, 1) * bins
    return np.minimum((place + SLACK).astype(np.int64), bins - 1)


def _tables(binned: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How many images share a bin of a unit and a level of a factor: (D, K, B, L)."""
    factors, rows, columns = levels.shape[1], binned.max() + 1, levels.max() + 1
    place = np.arange(factors) * rows * columns + levels
    counts = [
        np.bincount((place + unit[:, None] * columns).ravel(), minlength=factors * rows * columns)
        for unit in binned.T
    ]
    return np.stack(counts).reshape(-1, factors, rows, columns)


def _entropy(counts: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """In nats, of counts over an axis."""
    p = counts / counts.sum(axis, keepdims=True)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis)


def _shared(tables: np.ndarray) -> np.ndarray:
    """Mutual information (D, K) in nats of tables (D, K, B, L)."""
    apart = _entropy(tables.sum(3), -1) + _entropy(tables.sum(2), -1)
    return np.maximum(apart - _entropy(tables, (2, 3)), 0)


def mutual_information(codes: np.ndarray, factors: np.ndarray, bins: int = BINS) -> np.ndarray:
    """The mutual information I(unit; factor) in nats, (D, K), of codes (N, D) and factors (N, K).

    Codes are cut into bins of equal width, as in disentanglement_lib (Locatello et al. 2019,
    https://arxiv.org/abs/1811.12359). It is that of the observed frequencies, and so above the truth by about
    (bins - 1) (levels - 1) / 2N.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> mutual_information(factors.astype(float), factors).round(4)
    array([[0.6931, 0.    ],
           [0.    , 0.6931]])
    """
    codes, factors = observed(codes, factors)
    return _shared(_tables(_binned(codes, bins), compact(factors)))


def entropy(factors: np.ndarray) -> np.ndarray:
    """The entropy of each factor's observed frequencies, (K,) in nats, of factors (N, K).

    >>> entropy(np.array([[0], [1], [2], [3]])).round(4)
    array([1.3863])
    """
    return np.array([_entropy(np.bincount(column), 0) for column in compact(np.asarray(factors)).T])


def _gap(shared: np.ndarray, levels: np.ndarray) -> float:
    second, first = np.sort(shared, axis=0)[-2:]
    return float(((first - second) / entropy(levels)).mean())


def _modular(shared: np.ndarray, levels: np.ndarray) -> float:
    squares = shared**2
    largest = squares.max(1)
    others = (squares.sum(1) - largest) / np.where(largest > 0, largest, 1) / (squares.shape[1] - 1)
    return float(np.where(largest > 0, 1 - others, 0).mean())


def _estimate(
    quantity: Quantity,
    score: Callable[[np.ndarray, np.ndarray], float],
    codes: np.ndarray,
    levels: np.ndarray,
    bins: int,
    seed: Seed,
) -> Estimate:
    """A score of shared information (D, K) and levels (N, K); the bins stay where they are for its error."""
    binned = _binned(codes, bins)

    def scored(index: np.ndarray) -> np.ndarray:
        return np.array([score(_shared(_tables(binned[index], levels[index])), levels[index])])

    error = jackknife(scored, len(codes), groups=GROUPS, seed=seed)
    value = scored(np.arange(len(codes)))
    return Estimate(value.item(), quantity, len(codes), error.item(), note=f"codes in {bins} bins; {ROUGH}")


MIG = Quantity("mig", "fraction", True)


def mig(codes: np.ndarray, factors: np.ndarray, bins: int = BINS, seed: Seed = 0) -> Estimate:
    """The mutual information gap (Chen et al. 2018, https://arxiv.org/abs/1802.04942): how much more a
    factor's best unit tells than the next, of codes (N, D) and factors (N, K).

    In shares of the factor's entropy, averaged over factors. A factor with more levels than `bins` cannot
    reach 1 but log(bins) / log(levels) only: this too is disentanglement_lib's convention.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> round(mig(factors.astype(float), factors).value, 6)
    1.0
    """
    codes, levels = prepared(codes, factors)
    return _estimate(MIG, _gap, codes, levels, bins, seed)


MODULARITY = Quantity("modularity", "fraction", True)


def modularity(codes: np.ndarray, factors: np.ndarray, bins: int = BINS, seed: Seed = 0) -> Estimate:
    """The modularity of codes (N, D) given factors (N, K): how little a unit tells of factors other than its
    own, averaged over units (Ridgeway and Mozer 2018, https://arxiv.org/abs/1802.05312).

    1 less the others' squared mutual information in shares of the largest one's. A unit that tells nothing
    counts as 0, as in disentanglement_lib. One that tells nearly nothing is scored by its chance
    dependences: noise gets far more than 0 where the factors' numbers of levels differ.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> round(modularity(factors.astype(float), factors).value, 6)
    1.0
    """
    codes, levels = prepared(codes, factors, units=1, fewest=2)
    return _estimate(MODULARITY, _modular, codes, levels, bins, seed)
