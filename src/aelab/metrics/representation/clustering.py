"""How clusters that are found without labels agree with them."""

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, named
from aelab.metrics.representation.observations import checked, convergence_not_demanded

STARTS = 10  # of a clustering
RESAMPLES = 1000


def clustering(
    codes: np.ndarray, labels: np.ndarray, seed: int = 0, mixture: bool = True
) -> dict[str, Estimate]:
    """The agreement of clusters found without labels with these: kmeans_ and mixture_ accuracy, nmi, ari.

    As many clusters as classes, by k-means and, if it is asked for, by a `mixture` of Gaussians with full
    covariances, each the best of `STARTS`. accuracy: under the best one-to-one assignment of clusters to
    classes (Kuhn 1955, https://doi.org/10.1002/nav.3800020109). nmi: mutual information over the mean of both
    entropies. ari: adjusted Rand index (Hubert and Arabie 1985, https://doi.org/10.1007/BF01908075).
    Intervals are over images, for the clusters that were found.

    >>> labels = np.arange(40) % 2
    >>> codes = np.eye(2)[labels]
    >>> clustering(codes, labels)["kmeans_ari"].value
    1.0
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    codes, labels = checked(codes, labels)
    classes, truth = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InapplicableError(f"clusters are compared with classes, but every label is {classes[0]}")
    if len(codes) < len(classes) + 1:
        raise InapplicableError(f"{len(codes)} images are too few for clusters of {len(classes)} classes")
    # One scale for all dimensions: the mixture's floor of 1e-6 under its variances becomes a relative one.
    codes = codes - codes.mean(0)
    codes /= np.sqrt(codes.var(0).sum()) or 1.0
    methods = {"kmeans": KMeans(len(classes), n_init=STARTS, random_state=seed)}
    if mixture:
        methods["mixture"] = GaussianMixture(len(classes), n_init=STARTS, random_state=seed)
    found: list[Estimate] = []
    for name, method in methods.items():
        with convergence_not_demanded():
            clusters = method.fit_predict(codes)
        found += agreement(name, clusters, truth, seed)
    return named(*found)


def agreement(method: str, clusters: np.ndarray, truth: np.ndarray, seed: int = 0) -> list[Estimate]:
    """Accuracy, nmi and ari of clusters (N,) with classes (N,), both numbered from 0, as in `clustering`."""
    table = np.zeros((int(clusters.max()) + 1, int(truth.max()) + 1), dtype=np.int64)
    np.add.at(table, (clusters, truth), 1)
    return _agreement(method, table, seed)


def _agreement(method: str, table: np.ndarray, seed: int) -> list[Estimate]:
    """Accuracy, nmi and ari of a method's table (clusters, classes) of counts, with bootstrap intervals.

    To resample images is to draw the table from a multinomial. Draws agree a little more than the images do,
    by chance: the percentile interval is moved from their mean to the value, which leaves that bias out.
    """
    count = int(table.sum())
    draws = np.random.default_rng(seed).multinomial(count, table.ravel() / count, RESAMPLES)
    draws = draws.reshape(-1, *table.shape)
    note = "interval over images, for fixed clusters"
    found = []
    for name, statistic in {"accuracy": _accuracy, "nmi": _nmi, "ari": _ari}.items():
        value, drawn = float(statistic(table[None])[0]), statistic(draws)
        low, high = np.quantile(drawn, [0.025, 0.975]) - drawn.mean() + value
        interval = (min(float(low), value), min(max(float(high), value), 1.0))
        quantity = Quantity(f"{method}_{name}", "fraction", True)
        found.append(Estimate(value, quantity, count, interval=interval, note=note))
    return found


def _accuracy(tables: np.ndarray) -> np.ndarray:
    """(T, K, C) counts -> (T,): the fraction that agrees under the best one-to-one assignment."""
    from scipy.optimize import linear_sum_assignment

    return np.array([t[linear_sum_assignment(t, maximize=True)].sum() / t.sum() for t in tables])


def _nmi(tables: np.ndarray) -> np.ndarray:
    """(T, K, C) counts -> (T,): mutual information over the mean of the entropies; 0 where these are 0."""
    from scipy.special import entr

    p = tables / tables.sum((1, 2), keepdims=True)
    entropies = entr(p.sum(1)).sum(1) + entr(p.sum(2)).sum(1)
    information = entropies - entr(p).sum((1, 2))
    return 2 * information / np.where(entropies > 0, entropies, 1.0)


def _ari(tables: np.ndarray) -> np.ndarray:
    """(T, K, C) counts -> (T,): pairs that agree beyond chance, over the most there can be."""
    both, rows, columns, every = (
        (n * (n - 1.0) / 2).sum(-1)
        for n in (tables.reshape(len(tables), -1), tables.sum(2), tables.sum(1), tables.sum((1, 2))[:, None])
    )
    chance, most = rows * columns / every, (rows + columns) / 2
    return (both - chance) / np.where(most > chance, most - chance, 1.0)
