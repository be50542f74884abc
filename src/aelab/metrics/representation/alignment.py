"""How alike two codes of the same images are."""

import numpy as np

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate
from aelab.metrics.representation.observations import finite

CKA = Quantity("cka", "fraction", True)


def cka(a: np.ndarray, b: np.ndarray) -> Estimate:
    """The linear centred kernel alignment of two codes (N, D), (N, E) of the same images (Kornblith et al.
    2019, https://arxiv.org/abs/1905.00414).

    |A'B|^2 / (|A'A| |B'B|) for centred A, B and Frobenius norms: 1 for codes that differ by rotation and
    scale. It is biased upwards: independent codes have about sqrt(p q) / N, where p and q are their effective
    dimensions, (tr C)^2 / tr C^2 of each covariance C. The error is the infinitesimal jackknife's (Jaeckel
    1972), to which that of the bootstrap tends.

    >>> codes = np.random.default_rng(0).normal(size=(50, 3))
    >>> round(cka(codes, -2 * codes[:, ::-1]).value, 6)
    1.0
    """
    a, b = finite(a), finite(b)
    if len(a) != len(b):
        raise ConfigurationError(f"codes of the same images are aligned, but there are {len(a)} and {len(b)}")
    a, b = a - a.mean(0), b - b.mean(0)
    cross, left, right = a.T @ b / len(a), a.T @ a / len(a), b.T @ b / len(a)
    size_a, size_b = np.square(left).sum(), np.square(right).sum()
    if not size_a * size_b > 0:
        raise InapplicableError("the alignment is undefined where the code of every image is the same")
    scale = np.sqrt(size_a * size_b)
    value = np.square(cross).sum() / scale
    # What an image adds to each of the three norms, and so to first order to the alignment.
    shared, own_a, own_b = (((p @ c) * q).sum(1) for p, c, q in ((a, cross, b), (a, left, a), (b, right, b)))
    influence = 2 * shared / scale - value * (own_a / size_a + own_b / size_b)
    return Estimate(float(value), CKA, len(a), float(influence.std() / len(a) ** 0.5), note="linear, biased")
