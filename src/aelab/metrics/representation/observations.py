"""What the measures of representation share: codes and labels as they are given, fits that may stop early.

codes: (N, D) real, one row for each image. labels: (N,) integers.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from aelab.core.errors import ConfigurationError, NonFiniteError


def checked(codes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes in float64, and one label for each."""
    codes, labels = finite(codes), np.asarray(labels)
    if labels.shape != codes.shape[:1]:
        raise ConfigurationError(f"{len(codes)} codes need labels ({len(codes)},), not {labels.shape}")
    return codes, labels


def finite(codes: np.ndarray) -> np.ndarray:
    """Codes in float64."""
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim != 2 or not codes.size:
        raise ConfigurationError(f"codes must be (N, D) and not empty, but their shape is {codes.shape}")
    finite = np.isfinite(codes).all(1)
    if not finite.all():
        raise NonFiniteError(f"the codes of {(~finite).sum()} of {len(codes)} images are NaN or infinite")
    return codes


@contextmanager
def convergence_not_demanded() -> Iterator[None]:
    """That a collapsed model has fewer codes than clusters, say, is a result and no reason to warn."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
