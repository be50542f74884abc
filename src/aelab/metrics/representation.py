"""What codes know about the labels: probes, neighbours, clusters, alignment, and planes to look at.

Codes are (N, D) and labels (N,) integers, as numpy arrays; accuracies are fractions of images. What is fitted
to labels is fitted to training codes and scored on others. All is computed in float64.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from aelab.core.errors import ConfigurationError, InapplicableError, NonFiniteError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, mean, named

ITERATIONS = 200  # of L-BFGS at most; codes of 16 dimensions need fewer than 100
STARTS = 10  # of a clustering
RESAMPLES = 1000
PERPLEXITY = 30.0


LINEAR_PROBE = Quantity("linear_probe", "fraction", True)


def linear_probe(
    train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray, labels: np.ndarray
) -> Estimate:
    """The accuracy of a linear classifier (Alain and Bengio 2016), with its binomial error over test images.

    Multinomial logistic regression on codes that are standardised by the training codes: scikit-learn's
    L-BFGS with C = 1, until no component of the mean gradient exceeds 1e-4 or for `ITERATIONS` iterations.
    The note says so where these did not suffice.
    """
    train_codes, train_labels = _checked(train_codes, train_labels)
    codes, labels = _checked(codes, labels)
    found, converged = _probe(
        _standardised(train_codes, train_codes), train_labels, _standardised(codes, train_codes)
    )
    stopped = "" if converged else f", stopped after {ITERATIONS} iterations"
    return mean(found == labels, LINEAR_PROBE, f"logistic regression on standardised codes{stopped}")


NEAREST_NEIGHBOURS = Quantity("nearest_neighbours", "fraction", True)


def nearest_neighbours(
    train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray, labels: np.ndarray, k: int = 5
) -> Estimate:
    """The accuracy of the majority of the k nearest training codes, with its binomial error over test images.

    Euclidean distance between the codes as they are: if all dimensions were scaled alike, those that carry
    nothing would be noise.
    """
    from sklearn.neighbors import KNeighborsClassifier

    train_codes, train_labels = _checked(train_codes, train_labels)
    codes, labels = _checked(codes, labels)
    if not 0 < k <= len(train_codes):
        raise ConfigurationError(f"k={k} nearest neighbours cannot be found among {len(train_codes)} codes")
    found = KNeighborsClassifier(k).fit(train_codes, train_labels).predict(codes)
    return mean(found == labels, NEAREST_NEIGHBOURS, f"{k} nearest neighbours, Euclidean")


FEW_LABEL_PROBE = Quantity("few_label_probe", "fraction", True)


def few_label_probe(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
    per_class: int = 10,
    draws: int = 10,
    seed: int = 0,
) -> Estimate:
    """The accuracy of `linear_probe` where only `per_class` images of each class have a label.

    The mean over `draws` of these images, and its standard error over draws (not over test images). Codes are
    standardised by all training codes, which takes no labels.
    """
    train_codes, train_labels = _checked(train_codes, train_labels)
    codes, labels = _checked(codes, labels)
    classes, sizes = np.unique(train_labels, return_counts=True)
    if per_class < 1 or draws < 1:
        raise ConfigurationError(f"draws={draws} and per_class={per_class} must both be at least 1")
    if sizes.min() < per_class:
        raise InapplicableError(
            f"class {classes[sizes.argmin()]} has {sizes.min()} training images, "
            f"but the probe takes {per_class} of each class"
        )
    train_codes, codes = _standardised(train_codes, train_codes), _standardised(codes, train_codes)
    rng = np.random.default_rng(seed)
    accuracies = []
    for _ in range(draws):
        chosen = _stratified(train_labels, per_class, rng)
        found, _ = _probe(train_codes[chosen], train_labels[chosen], codes)
        accuracies.append((found == labels).mean())
    note = f"logistic regression from {per_class} labels of each class; error over draws of these"
    return mean(np.array(accuracies), FEW_LABEL_PROBE, note)


def clustering(codes: np.ndarray, labels: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """How clusters found without labels agree with them: kmeans_ and mixture_ accuracy, nmi, ari.

    As many clusters as classes, by k-means and by a mixture of Gaussians with full covariances, each the best
    of `STARTS`. accuracy: under the best one-to-one assignment of clusters to classes (Kuhn 1955). nmi:
    mutual information over the mean of both entropies. ari: adjusted Rand index (Hubert and Arabie 1985).
    Intervals are over images, for the clusters that were found.
    """
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    codes, labels = _checked(codes, labels)
    classes, truth = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise InapplicableError(f"clusters are compared with classes, but every label is {classes[0]}")
    # One scale for all dimensions: the mixture's floor of 1e-6 under its variances becomes a relative one.
    codes = codes - codes.mean(0)
    codes /= np.sqrt(codes.var(0).sum()) or 1.0
    methods = {
        "kmeans": KMeans(len(classes), n_init=STARTS, random_state=seed),
        "mixture": GaussianMixture(len(classes), n_init=STARTS, random_state=seed),
    }
    found: list[Estimate] = []
    for name, method in methods.items():
        with _convergence_not_demanded():
            clusters = method.fit_predict(codes)
        table = np.zeros((len(classes), len(classes)), dtype=np.int64)
        np.add.at(table, (clusters, truth), 1)
        found += _agreement(name, table, seed)
    return named(*found)


CKA = Quantity("cka", "fraction", True)


def cka(a: np.ndarray, b: np.ndarray) -> Estimate:
    """Linear centred kernel alignment of two codes (N, D), (N, E) of the same images (Kornblith et al. 2019).

    |A'B|^2 / (|A'A| |B'B|) for centred A, B and Frobenius norms: 1 for codes that differ by rotation and
    scale. It is biased upwards: independent codes have about sqrt(p q) / N, where p and q are their effective
    dimensions, (tr C)^2 / tr C^2 of each covariance C. The error is the infinitesimal jackknife's (Jaeckel
    1972), to which that of the bootstrap tends.
    """
    a, b = _finite(a), _finite(b)
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


def principal_plane(codes: np.ndarray) -> np.ndarray:
    """Codes (N, D) in the plane of their two largest principal components, (N, 2).

    Signs are such that the largest loading of each component is positive; 0 where D = 1 leaves no second.
    """
    codes = _finite(codes)
    centred = codes - codes.mean(0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), range(axes.shape[1])])
    return np.pad(centred @ axes, ((0, 0), (0, 2 - axes.shape[1])))


def tsne_plane(codes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Codes (N, D) in a plane (N, 2) that keeps who is near whom (van der Maaten and Hinton 2008).

    Perplexity `PERPLEXITY` (less for fewer than 91 codes), started from the principal plane (Kobak and Berens
    2019) with a little noise of `seed`, which parts equal codes. Time grows with N: give it some 2,000 codes.
    """
    from sklearn.manifold import TSNE

    codes = _finite(codes)
    if len(codes) < 4:
        raise InapplicableError(f"a t-SNE plane takes at least 4 codes, not {len(codes)}")
    start = principal_plane(codes)
    start = start / (start[:, 0].std() or 1.0) + 0.01 * np.random.default_rng(seed).normal(size=start.shape)
    method = TSNE(perplexity=min(PERPLEXITY, (len(codes) - 1) / 3), init=1e-4 * start, random_state=seed)
    return np.asarray(method.fit_transform(codes), dtype=np.float64)


def representation(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    draws: int = 10,
) -> dict[str, Estimate]:
    """All that labels say about codes: both probes, neighbours, and the clusters of the test codes."""
    given = train_codes, train_labels, codes, labels
    return named(
        linear_probe(*given),
        nearest_neighbours(*given),
        few_label_probe(*given, draws=draws, seed=seed),
        *clustering(codes, labels, seed).values(),
    )


def _checked(codes: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes in float64, and one label for each."""
    codes, labels = _finite(codes), np.asarray(labels)
    if labels.shape != codes.shape[:1]:
        raise ConfigurationError(f"{len(codes)} codes need labels ({len(codes)},), not {labels.shape}")
    return codes, labels


def _finite(codes: np.ndarray) -> np.ndarray:
    """Codes in float64."""
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim != 2 or not codes.size:
        raise ConfigurationError(f"codes must be (N, D) and not empty, but their shape is {codes.shape}")
    finite = np.isfinite(codes).all(1)
    if not finite.all():
        raise NonFiniteError(f"the codes of {(~finite).sum()} of {len(codes)} images are NaN or infinite")
    return codes


def _standardised(codes: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Codes less the mean and over the deviation of others; a constant dimension is only centred."""
    deviation = by.std(0)
    constant = deviation <= 1e-12 * np.abs(by).max(0)  # rounding leaves a constant one a little deviation
    return (codes - by.mean(0)) / np.where(constant, 1.0, deviation)


def _probe(train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray) -> tuple[np.ndarray, bool]:
    """The labels that a logistic regression gives to codes, and whether it converged."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(train_labels)) < 2:
        raise InapplicableError(f"a probe needs two classes, but every training label is {train_labels[0]}")
    with _convergence_not_demanded():
        method = LogisticRegression(max_iter=ITERATIONS).fit(train_codes, train_labels)
    return method.predict(codes), bool(method.n_iter_.max() < ITERATIONS)


def _stratified(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """The indices of `per_class` images of each class, without repetitions."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in np.unique(labels)]
    )


@contextmanager
def _convergence_not_demanded() -> Iterator[None]:
    """That a collapsed model has fewer codes than clusters, say, is a result and no reason to warn."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


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
