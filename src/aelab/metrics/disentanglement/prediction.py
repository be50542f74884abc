"""How well factors can be read from units: SAP by one unit at a time, DCI by all of them."""

from typing import TYPE_CHECKING

import numpy as np

from aelab.core.quantity import Quantity
from aelab.metrics.disentanglement.observations import split
from aelab.metrics.estimate import Estimate, Seed, jackknife, mean

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesClassifier

GROUPS = 20
REFITS = 5  # of every forest, for the errors of what they are made of
NOTHING = 1e-11  # is added to importances, so that what matters nowhere counts as spread evenly


def _nearest(unit: np.ndarray, levels: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The level (M,) whose mean code among (N,) is nearest to each of other codes (M,)."""
    counts = np.bincount(levels)
    means = np.where(counts > 0, np.bincount(levels, unit) / np.maximum(counts, 1), np.inf)
    return np.abs(other[:, None] - means).argmin(1)


SAP = Quantity("sap", "fraction", True)


def sap(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    seed: Seed = 0,
) -> Estimate:
    """The separated attribute predictability (Kumar et al. 2018, https://arxiv.org/abs/1711.00848): the gap
    between a factor's two best units.

    A unit is scored by the balanced accuracy on test images of thresholds on it, as in the paper: those of a
    linear discriminant with one variance and equal weights, halfway between the means of neighbouring
    levels. The one-against-all SVMs of disentanglement_lib find no level between two others, so that their
    score of a perfect unit falls with the number of levels.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> codes = factors.astype(float)
    >>> sap(codes, factors, codes, factors).value
    0.5
    """
    train, test = (train_codes, train_factors), (test_codes, test_factors)
    (codes, levels), (others, truth) = split(train, test)
    found = np.stack(
        [[_nearest(u, k, o) for k in levels.T] for u, o in zip(codes.T, others.T, strict=True)]
    )  # (D, K, M)
    weights = np.stack([1 / np.bincount(k)[k] for k in truth.T])  # (K, M)
    right = (found == truth.T) * weights

    def gap(index: np.ndarray) -> np.ndarray:
        accuracy = right[..., index].sum(-1) / weights[:, index].sum(-1)
        second, first = np.sort(accuracy, axis=0)[-2:]
        return np.array([(first - second).mean()])

    error = jackknife(gap, len(others), groups=GROUPS, seed=seed)
    value = gap(np.arange(len(others)))
    return Estimate(value.item(), SAP, len(others), error.item(), note="thresholds on one unit")


def _concentration(importance: np.ndarray) -> float:
    """How much of each row (R, C) lies in one place, 0..1, weighted by the rows' sums."""
    p = importance + NOTHING
    p /= p.sum(1, keepdims=True)
    rows = 1 + (p * np.log(p)).sum(1) / np.log(p.shape[1])
    return float(np.average(rows, weights=importance.sum(1) + NOTHING))


def _forests(codes: np.ndarray, levels: np.ndarray, trees: int, seed: int) -> list["ExtraTreesClassifier"]:
    from sklearn.ensemble import ExtraTreesClassifier

    settings = {"max_features": None, "min_samples_leaf": 5, "random_state": seed}
    return [ExtraTreesClassifier(trees, **settings).fit(codes, factor) for factor in levels.T]


def _scores(forests: list["ExtraTreesClassifier"]) -> np.ndarray:
    """Disentanglement and completeness (2,), from a forest for each factor."""
    importance = np.stack([forest.feature_importances_ for forest in forests], 1)  # (D, K)
    return np.array([_concentration(importance), _concentration(importance.T)])


DCI_DISENTANGLEMENT = Quantity("dci_disentanglement", "fraction", True)
DCI_COMPLETENESS = Quantity("dci_completeness", "fraction", True)
DCI_INFORMATIVENESS = Quantity("dci_informativeness", "fraction", True)


def dci(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    trees: int = 50,
    seed: Seed = 0,
) -> tuple[Estimate, Estimate, Estimate]:
    """The disentanglement, completeness and informativeness of Eastwood and Williams (2018,
    https://openreview.net/forum?id=By-7dz-AZ).

    From how much each unit matters to the learner of a factor: a unit is disentangled if it matters to one
    factor, a factor is complete if one unit matters to it, and informativeness is the accuracy on test
    images, averaged over factors. Errors of the first two: from forests without a fifth of the images each,
    and so a little too large by what differs between forests; of the third: over test images.

    The learner is a forest of extremely randomised trees that choose among all units at every split and
    whose leaves hold 5 images or more. Fully grown trees that choose among a few units, as is usual, give a
    share of the importance to noise; the boosted trees of disentanglement_lib are one tree for each level
    and round, which takes minutes for 40 levels.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> codes = factors.astype(float)
    >>> print(*(round(found.value, 6) for found in dci(codes, factors, codes, factors, trees=2)))
    1.0 1.0 1.0
    """
    train, test = (train_codes, train_factors), (test_codes, test_factors)
    (codes, levels), (others, truth) = split(train, test, fewest=2)
    rng = np.random.default_rng(seed)
    start = int(rng.integers(2**31))

    def scores(index: np.ndarray) -> np.ndarray:
        return _scores(_forests(codes[index], levels[index], trees, start))

    forests = _forests(codes, levels, trees, start)
    note = f"forests of {trees} trees"
    errors = jackknife(scores, len(codes), groups=REFITS, seed=rng)
    first, second = (
        Estimate(float(value), quantity, len(codes), float(error), note=note)
        for quantity, value, error in zip(
            (DCI_DISENTANGLEMENT, DCI_COMPLETENESS), _scores(forests), errors, strict=True
        )
    )
    read = np.stack([forest.predict(others) for forest in forests], 1)
    return first, second, mean((read == truth).mean(1), DCI_INFORMATIVENESS, note)
