"""Planes in which codes can be looked at."""

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.metrics.representation.observations import finite

PERPLEXITY = 30.0


def principal_plane(codes: np.ndarray) -> np.ndarray:
    """The codes (N, D) in the plane of their two largest principal components, (N, 2).

    Signs are such that the largest loading of each component is positive; 0 where D = 1 leaves no second.

    >>> principal_plane(np.array([[0.0, 1.0], [0.0, 5.0]]))[:, 0]
    array([-2.,  2.])
    """
    codes = finite(codes)
    centred = codes - codes.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
    return np.pad(centred @ axes, ((0, 0), (0, 2 - axes.shape[1])))


def tsne_plane(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """The codes (N, D) in a plane (N, 2) that keeps who is near whom (van der Maaten and Hinton 2008,
    https://jmlr.org/papers/v9/vandermaaten08a.html).

    Perplexity `PERPLEXITY` (less for fewer than 91 codes), started from the principal plane (Kobak and Berens
    2019, https://doi.org/10.1038/s41467-019-13056-x) with a little noise of `seed`, which parts equal codes.
    Time grows with N: give it some 2,000 codes.

    >>> tsne_plane(np.eye(5)).shape
    (5, 2)
    """
    from sklearn.manifold import TSNE

    codes = finite(codes)
    if len(codes) < 4:
        raise InapplicableError(f"a t-SNE plane takes at least 4 codes, not {len(codes)}")
    start = principal_plane(codes)
    start = start / (start[:, 0].std() or 1.0) + 0.01 * np.random.default_rng(seed).normal(size=start.shape)
    method = TSNE(perplexity=min(PERPLEXITY, (len(codes) - 1) / 3), init=1e-4 * start, random_state=seed)
    return np.asarray(method.fit_transform(codes), dtype=np.float64)
