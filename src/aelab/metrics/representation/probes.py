"""How well labels can be read from codes: by a line, by neighbours, and from few labels."""

import numpy as np

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import Estimate, mean
from aelab.metrics.representation.observations import checked, convergence_not_demanded

ITERATIONS = 200  # of L-BFGS at most; codes of 16 dimensions need fewer than 100

LINEAR_PROBE = Quantity("linear_probe", "fraction", True)


def linear_probe(
    train_codes: np.ndarray, train_labels: np.ndarray, codes: np.ndarray, labels: np.ndarray
) -> Estimate:
    """The accuracy of a linear classifier (Alain and Bengio 2016, https://arxiv.org/abs/1610.01644), with its
    binomial error over test images.

    Multinomial logistic regression on codes that are standardised by the training codes: scikit-learn's
    L-BFGS with C = 1, until no component of the mean gradient exceeds 1e-4 or for `ITERATIONS` iterations.
    The note says so where these did not suffice.

    >>> labels = np.arange(40) % 2
    >>> codes = np.eye(2)[labels]
    >>> linear_probe(codes, labels, codes, labels).value
    1.0
    """
    train_codes, train_labels = checked(train_codes, train_labels)
    codes, labels = checked(codes, labels)
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

    >>> labels = np.arange(40) % 2
    >>> codes = np.eye(2)[labels]
    >>> nearest_neighbours(codes, labels, codes, labels).value
    1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    train_codes, train_labels = checked(train_codes, train_labels)
    codes, labels = checked(codes, labels)
    if not 0 < k <= len(train_codes):
        raise InapplicableError(f"k={k} nearest neighbours cannot be found among {len(train_codes)} codes")
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

    >>> labels = np.arange(40) % 2
    >>> codes = np.eye(2)[labels]
    >>> few_label_probe(codes, labels, codes, labels, per_class=1).value
    1.0
    """
    train_codes, train_labels = checked(train_codes, train_labels)
    codes, labels = checked(codes, labels)
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
    with convergence_not_demanded():
        method = LogisticRegression(max_iter=ITERATIONS).fit(train_codes, train_labels)
    return method.predict(codes), bool(method.n_iter_.max() < ITERATIONS)


def _stratified(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """The indices of `per_class` images of each class, without repetitions."""
    return np.concatenate(
        [rng.choice(np.flatnonzero(labels == label), per_class, replace=False) for label in np.unique(labels)]
    )
