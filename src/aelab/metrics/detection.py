"""How well scores tell anomalies from normal observations: areas, their intervals, and tests between scores.

Positive are the anomalies, whose scores should be the higher ones; ties count half.
"""

import numpy as np
from scipy.stats import norm, rankdata

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, bootstrap

AUROC = Quantity("auroc", "probability", True)
AUPR = Quantity("aupr", "precision", True)
FPR = Quantity("fpr_at_95", "share of normal observations", False)


def auroc(scores: np.ndarray, anomalous: np.ndarray, quantity: Quantity = AUROC) -> Estimate:
    """The area under the ROC curve, the probability that an anomaly scores above a normal observation, with
    its 95 % interval on the logit scale (DeLong, DeLong and Clarke-Pearson 1988,
    https://doi.org/10.2307/2531595).

    scores: (N,). anomalous: (N,) bool. Raises InapplicableError unless both are there twice.

    >>> auroc(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True])).value
    0.75
    """
    area, covariance = _areas(scores[None], anomalous)
    value, error = float(area[0]), float(covariance[0, 0]) ** 0.5
    return Estimate(value, quantity, len(scores), error, _logit_interval(value, error))


def compared(a: np.ndarray, b: np.ndarray, anomalous: np.ndarray) -> tuple[float, float]:
    """How much the area of scores `a` exceeds that of `b` on the same observations, and DeLong's two-sided
    p-value; 1 where the two order them alike.

    >>> compared(np.arange(4.0), np.arange(4.0), np.array([False, True, False, True]))
    (0.0, 1.0)
    """
    areas, covariance = _areas(np.stack([a, b]), anomalous)
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    gain = float(areas[0] - areas[1])
    return gain, float(2 * norm.sf(abs(gain) / variance**0.5)) if variance > 1e-16 else 1.0


def aupr(
    scores: np.ndarray, anomalous: np.ndarray, quantity: Quantity = AUPR, resamples: int = 200, seed: int = 0
) -> Estimate:
    """The area under the precision-recall curve as the average precision, with a bootstrap interval.

    >>> aupr(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True]), resamples=9).value
    0.8333333333333333
    """
    from sklearn.metrics import average_precision_score

    _split(scores, anomalous)

    def area(index: np.ndarray) -> float:
        return float(average_precision_score(anomalous[index], scores[index]))

    return bootstrap(area, len(scores), quantity, resamples, seed)


def fpr_at_95(
    scores: np.ndarray, anomalous: np.ndarray, quantity: Quantity = FPR, resamples: int = 200, seed: int = 0
) -> Estimate:
    """The share of normal observations at or above the score that 95 % of the anomalies reach, with a
    bootstrap interval: that score is an estimate, too.

    >>> fpr_at_95(np.array([0.0, 1.0, 2.0, 3.0]), np.array([False, True, False, True]), resamples=9).value
    0.5
    """
    _split(scores, anomalous)

    def share(index: np.ndarray) -> float:
        drawn, is_anomaly = scores[index], anomalous[index]
        reached = np.quantile(drawn[is_anomaly], 0.05, method="lower") if is_anomaly.any() else -np.inf
        return float((drawn >= reached)[~is_anomaly].mean()) if not is_anomaly.all() else 0.0

    return bootstrap(share, len(scores), quantity, resamples, seed)


def _split(scores: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found, normal = scores[..., anomalous], scores[..., ~anomalous]
    if min(found.shape[-1], normal.shape[-1]) < 2:
        raise InapplicableError(
            f"{found.shape[-1]} anomalies and {normal.shape[-1]} normal observations: two of each are needed"
        )
    return found, normal


def _areas(scores: np.ndarray, anomalous: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The areas (K,) of K scores (K, N) and their covariance (K, K), from mid-ranks (Sun and Xu 2014,
    https://doi.org/10.1109/LSP.2014.2337313)."""
    found, normal = _split(scores, anomalous)
    m, n = found.shape[1], normal.shape[1]
    every = rankdata(np.concatenate([found, normal], 1), axis=1)
    above = (every[:, :m] - rankdata(found, axis=1)) / n  # for each anomaly, the share of normal ones below
    below = 1 - (every[:, m:] - rankdata(normal, axis=1)) / m
    covariance = np.atleast_2d(np.cov(above)) / m + np.atleast_2d(np.cov(below)) / n
    return above.mean(1), covariance


def _logit_interval(value: float, error: float) -> tuple[float, float]:
    if not 0 < value < 1:
        return value, value
    reach = norm.isf(0.025) * error / (value * (1 - value))
    logit = np.log(value / (1 - value))
    return float(1 / (1 + np.exp(reach - logit))), float(1 / (1 + np.exp(-reach - logit)))
