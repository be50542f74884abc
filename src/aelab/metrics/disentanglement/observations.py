"""What the measures of disentanglement share: codes and factors as they are given, and errors by leaving out.

codes: (N, D) real, one row for each image. factors: (N, K) integers, the level of each factor of an image.
"""

import numpy as np

from aelab.core.errors import InapplicableError, NonFiniteError

Pair = tuple[np.ndarray, np.ndarray]

DEAD = 0.05  # of the largest standard deviation of a unit
FEWEST = 5  # images that show a level, for their spread to be known


def observed(codes: np.ndarray, factors: np.ndarray) -> Pair:
    """Codes in float64 and factors as integers, or what is wrong with them."""
    codes, factors = np.asarray(codes), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise InapplicableError(
            f"codes of shape {codes.shape} and factors of shape {factors.shape} do not describe the same "
            "images: give (images, units) and (images, factors)"
        )
    if not (np.issubdtype(factors.dtype, np.integer) or np.issubdtype(factors.dtype, np.bool_)):
        raise InapplicableError(f"factors are {factors.dtype}: give each one's levels 0, 1, ... as integers")
    if not np.isfinite(codes).all():
        raise NonFiniteError("codes hold NaN or infinite values: give those of a model that converged")
    return codes.astype(np.float64), factors.astype(np.int64)


def compact(factors: np.ndarray) -> np.ndarray:
    """The same factors (N, K) with levels 0, 1, ... that all occur."""
    return np.stack([np.unique(column, return_inverse=True)[1] for column in factors.T], 1)


def _varied(factors: np.ndarray, fewest: int) -> np.ndarray:
    """Which factors (K,) have two levels or more; there must be `fewest` of them."""
    kept = (factors != factors[:1]).any(0) if len(factors) else np.zeros(factors.shape[1], dtype=bool)
    if kept.sum() < fewest:
        raise InapplicableError(
            f"{kept.sum()} of {factors.shape[1]} factors have two levels or more among {len(factors)} images"
            f", and this measure compares {fewest} or more: give images whose factors vary"
        )
    return kept


def _enough_units(codes: np.ndarray, fewest: int) -> None:
    varying = int((np.ptp(codes, axis=0) > 0).sum())
    if codes.shape[1] < fewest or not varying:
        raise InapplicableError(
            f"{varying} of {codes.shape[1]} units vary over the {len(codes)} images, and this measure takes "
            f"{fewest} or more units of which one varies: give codes that depend on the image"
        )


def prepared(codes: np.ndarray, factors: np.ndarray, *, units: int = 2, fewest: int = 1) -> Pair:
    """Checked codes (N, D) and compact factors (N, K'), K' <= K, without those of one level."""
    codes, factors = observed(codes, factors)
    kept = _varied(factors, fewest)
    _enough_units(codes, units)
    return codes, compact(factors[:, kept])


def split(train: Pair, test: Pair, *, units: int = 2, fewest: int = 1) -> tuple[Pair, Pair]:
    """Both checked, with the factors that vary in both, and the same levels in both."""
    (codes, factors), (other, others) = observed(*train), observed(*test)
    if codes.shape[1] != other.shape[1] or factors.shape[1] != others.shape[1]:
        raise InapplicableError(
            f"{codes.shape[1]} units and {factors.shape[1]} factors to learn from, {other.shape[1]} and "
            f"{others.shape[1]} to test on: give codes of one model, and the same factors"
        )
    kept = _varied(factors, fewest) & _varied(others, fewest)
    _varied(factors[:, kept], fewest)
    _enough_units(codes, units)
    levels = compact(np.concatenate([factors, others])[:, kept])
    return (codes, levels[: len(codes)]), (other, levels[len(codes) :])


def alive(codes: np.ndarray) -> np.ndarray:
    """Which units (D,) vary: their standard deviation is at least 0.05 of the largest one's.

    Kim and Mnih compare it with that of the prior, which is 1; the largest one instead serves codes of any
    scale, a plain autoencoder's among them.
    """
    deviation = codes.std(0)
    return deviation >= DEAD * deviation.max()
