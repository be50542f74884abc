"""How far models that were trained alike agree, up to the order and signs of units: no factors needed."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, mean

INFORMATIVE = 0.01  # nats
MEDIAN = 1.2533  # the standard error of a median in those of a mean, for normal values


def _checked(codes: Sequence[np.ndarray], kl: Sequence[np.ndarray]) -> None:
    shapes, units = [np.shape(z) for z in codes], [np.shape(k) for k in kl]
    if len(codes) < 2 or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
        raise InapplicableError(
            f"codes of shapes {shapes}: agreement is that of two or more models on the same images, so give "
            "(images, units) of each"
        )
    if units != [shape[1:] for shape in shapes]:
        raise InapplicableError(f"KL of shapes {units} for codes of {shapes}: give one number for each unit")
    if shapes[0][0] < 2 or not all(np.isfinite(z).all() for z in codes):
        raise InapplicableError("agreement is that of ranks: give finite codes of two images or more")


def _share_of_best(similar: np.ndarray) -> np.ndarray:
    """Squared maximum over the sum, over the first axis; 0 where nothing is similar."""
    total = similar.sum(0)
    return similar.max(0) ** 2 / np.where(total > 0, total, 1)


def _alike(similar: np.ndarray) -> float:
    """The agreement of two models by |correlations| (D_a, D_b) of informative units; 0 if one has none."""
    if not similar.size:
        return 0.0
    return float(np.concatenate([_share_of_best(similar), _share_of_best(similar.T)]).mean())


UDR = Quantity("udr", "fraction", True)


def udr(codes: Sequence[np.ndarray], kl: Sequence[np.ndarray]) -> tuple[list[Estimate], Estimate]:
    """The unsupervised disentanglement ranking (Duan et al. 2020, https://arxiv.org/abs/1905.12614): the
    score of each of M models, and their mean.

    codes: M arrays (N, D_m) of the same images. kl: M arrays (D_m,), the divergence of each unit in nats,
    averaged over images; units below 0.01 are left out. The similarity of two units is Spearman's, whatever
    its sign; a unit scores the squared largest over the sum of its similarities, a pair of models the mean
    over both models' units, and a model the median over its pairs. The error is over pairs, as if these were
    independent; the mean's is twice that over models, each of which is in a pair with all others (Hoeffding
    1948, https://doi.org/10.1214/aoms/1177730196), and None for two.

    >>> codes = np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 1.0]])
    >>> scores, average = udr([codes, -codes], [np.ones(2), np.ones(2)])
    >>> round(average.value, 6)
    1.0
    """
    from scipy.stats import rankdata

    _checked(codes, kl)
    kept = [np.asarray(z)[:, np.asarray(k) >= INFORMATIVE] for z, k in zip(codes, kl, strict=True)]
    ranks = np.concatenate([rankdata(z, axis=0) for z in kept], axis=1)
    ranks -= ranks.mean(0)
    length = np.linalg.norm(ranks, axis=0)
    ranks /= np.where(length > 0, length, 1)
    similar = np.abs(ranks.T @ ranks)
    ends = np.cumsum([0] + [z.shape[1] for z in kept])
    parts = [slice(a, b) for a, b in pairwise(ends)]
    pairs = np.array([[_alike(similar[a, b]) for b in parts] for a in parts])
    scores = []
    for model in range(len(codes)):
        others = np.delete(pairs[model], model)
        error = MEDIAN * others.std(ddof=1) / len(others) ** 0.5 if len(others) > 1 else None
        scores.append(Estimate(float(np.median(others)), UDR, len(others), error, note="over pairs"))
    whole = mean(np.array([score.value for score in scores]), UDR, "over models")
    return scores, replace(whole, error=2 * whole.error if len(codes) > 2 and whole.error else None)
