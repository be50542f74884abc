"""How far samples are from images, in the features of a network: pure functions of features (N, F).

All depend on the feature space and on how many samples there are: numbers compare only where both are alike.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aelab.core.errors import InapplicableError, NonFiniteError
from aelab.core.quantity import Quantity
from aelab.metrics.estimate import ROUGH, Estimate, jackknife, mean, named

NEAREST = 5
GROUPS = 10  # that are left out, one after the other, for an error
PAIRS = 2**24  # whose distances or kernels are held at once


def generation(
    real: Tensor, fake: Tensor, train: Tensor | None, fake_logits: Tensor | None, seed: int
) -> dict[str, Estimate]:
    """All measures of this module, by name.

    real, fake, train: features (N, F) of held-out images, of samples, and of training images, or None where
    nothing is asked of copies. fake_logits: (N, classes), of the samples; None where a space has no classes.

    Raises NonFiniteError for features that are not finite, InapplicableError for too few of them.
    """
    for name, features in {"real": real, "fake": fake, "train": train}.items():
        if features is None:
            continue
        if not features.isfinite().all():
            raise NonFiniteError(f"the features of {name} images are not all finite")
        if len(features) < 4 * NEAREST:
            raise InapplicableError(
                f"{len(features)} {name} images are too few to compare: give at least {4 * NEAREST}"
            )
    if (real == real[:1]).all():
        raise InapplicableError("all real images have the same features: no distance has a unit")
    if fake_logits is not None and not fake_logits.isfinite().all():
        raise NonFiniteError("the class logits of fake images are not all finite")
    return named(
        frechet(real, fake, seed),
        kernel_distance(real, fake),
        *precision_recall(real, fake, seed).values(),
        *([] if fake_logits is None else [classifier_score(fake_logits, seed)]),
        two_sample_test(real, fake, seed),
        *([] if train is None else [memorisation(train, real, fake)]),
        diversity(real, fake),
    )


FRECHET = Quantity("frechet", "squared feature units", False)


def frechet(real: Tensor, fake: Tensor, seed: int = 0) -> Estimate:
    """The squared Frechet distance of the Gaussians with the means and covariances of features (N, F), (M, F)
    (Heusel et al. 2017, https://arxiv.org/abs/1706.08500). It is biased upwards by about 1 / N.

    >>> x = torch.randn(40, 2)
    >>> round(frechet(x, x + torch.tensor([3.0, 0.0])).value, 4)
    9.0
    """

    def distance(rows: np.ndarray, columns: np.ndarray) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=_given(real))
        metric.update(real[rows].double(), real=True)
        metric.update(fake[columns].double(), real=False)
        return max(0.0, metric.compute().item())

    sizes = len(real), len(fake)
    error = jackknife(distance, *sizes, groups=GROUPS, seed=seed)
    note = "the error is rough, either way"  # of ten groups
    return Estimate(distance(*map(np.arange, sizes)), FRECHET, len(fake), float(error), note=note)


KERNEL_DISTANCE = Quantity("kernel_distance", "squared kernel units", False)


def kernel_distance(real: Tensor, fake: Tensor) -> Estimate:
    """The squared maximum mean discrepancy with the cubic kernel over all pairs of features (N, F), (M, F)
    (Binkowski et al. 2018, https://arxiv.org/abs/1801.01401), unbiased: it can be below 0. torchmetrics' mean
    over random subsets tends to it.

    The error is that of a U-statistic, from the mean over the pairs of each image.

    >>> kernel_distance(torch.zeros(4, 1), torch.ones(4, 1)).value
    7.0
    """
    x, y = real.double(), fake.double()
    among_x, among_y = _kernel_means(x, x, own=True), _kernel_means(y, y, own=True)
    x_to_y, y_to_x = _kernel_means(x, y), _kernel_means(y, x)
    value = among_x.mean() + among_y.mean() - 2 * x_to_y.mean()
    variance = (among_x - x_to_y).var() / len(x) + (among_y - y_to_x).var() / len(y)
    few = min(len(x), len(y))
    return Estimate(value.item(), KERNEL_DISTANCE, few, 2 * variance.item() ** 0.5)


def _kernel_means(x: Tensor, y: Tensor, own: bool = False) -> Tensor:
    """Of each row of x over all rows of y, without itself where they are its own set: (N,)."""
    rows = x.split(max(1, PAIRS // len(y)))
    sums = torch.cat([(part @ y.T / x.shape[1] + 1).pow(3).sum(1) for part in rows])
    if not own:
        return sums / len(y)
    return (sums - (x.square().sum(1) / x.shape[1] + 1).pow(3)) / (len(y) - 1)


PRECISION = Quantity("precision", "fraction", True)
RECALL = Quantity("recall", "fraction", True)
DENSITY = Quantity("density", "relative density", True)
COVERAGE = Quantity("coverage", "fraction", True)


def precision_recall(real: Tensor, fake: Tensor, seed: int = 0) -> dict[str, Estimate]:
    """The precision and recall of Kynkaanniemi et al. (2019, https://arxiv.org/abs/1904.06991), the
    density and coverage of Naeem et al. (2020, https://arxiv.org/abs/2002.09797), by name, of (N, F), (M, F).

    >>> x = torch.arange(40.0)[:, None]
    >>> precision_recall(x, x)["recall"].value
    1.0
    """
    from prdc.prdc import compute_pairwise_distance

    # `compute_prdc` gives the means of these alone, and would find all distances anew for each error.
    x, y = real.numpy(), fake.numpy()
    around_real, around_fake = (_Neighbours(compute_pairwise_distance(part)) for part in (x, y))
    distance = compute_pairwise_distance(x, y)

    def shares(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        between = distance[np.ix_(rows, columns)]
        real_radii, fake_radii = around_real.radii(rows), around_fake.radii(columns)
        held = between < real_radii[:, None]
        recalled, covered = (between < fake_radii).any(1), between.min(1) < real_radii
        return np.array([held.any(0).mean(), recalled.mean(), held.sum(0).mean() / NEAREST, covered.mean()])

    sizes = len(x), len(y)
    values, errors = shares(*map(np.arange, sizes)), jackknife(shares, *sizes, groups=GROUPS, seed=seed)
    counts = {PRECISION: len(y), RECALL: len(x), DENSITY: len(y), COVERAGE: len(x)}
    return named(
        *(
            Estimate(float(value), quantity, count, float(error), note=ROUGH)
            for (quantity, count), value, error in zip(counts.items(), values, errors, strict=True)
        )
    )


class _Neighbours:
    """Who is near to whom in a set of which parts can be left out: more neighbours than are asked for."""

    def __init__(self, distances: np.ndarray) -> None:
        # Of four times as many neighbours the tenth that is left out is never so much that too few remain.
        kept = min(len(distances), 4 * NEAREST + 1)
        near = np.argpartition(distances, kept - 1, 1)[:, :kept]
        order = np.argsort(np.take_along_axis(distances, near, 1), 1, kind="stable")
        self.index = np.take_along_axis(near, order, 1)
        self.distances = np.take_along_axis(distances, self.index, 1)

    def radii(self, rows: np.ndarray) -> np.ndarray:
        """The distance of each of `rows` (K,) to the `NEAREST`-th other one of them."""
        there = np.zeros(len(self.index), dtype=bool)
        there[rows] = True
        place = (there[self.index[rows]].cumsum(1) > NEAREST).argmax(1)  # the first one is the row itself
        return self.distances[rows, place]


CLASSIFIER_SCORE = Quantity("classifier_score", "classes", True)


def classifier_score(logits: Tensor, seed: int = 0, splits: int = 10) -> Estimate:
    """The effective number of classes that are told apart, exp E KL(p(y|x) || p(y)): the Inception score's
    formula (Salimans et al. 2016, https://arxiv.org/abs/1606.03498).

    logits: (N, classes). The error is that of the infinitesimal jackknife: what each sample adds to the mean.

    >>> classifier_score(torch.zeros(20, 3)).value
    1.0
    """
    from torchmetrics.image.inception import InceptionScore

    with _seeded(seed):
        metric = InceptionScore(feature=_given(logits), splits=splits)
        metric.update(logits)
        value = metric.compute()[0].item()
    log_p = logits.double().log_softmax(1)
    told = (log_p.exp() * (log_p - log_p.exp().mean(0).log())).sum(1)  # KL(p(y|x) || p(y)) of each sample
    return Estimate(value, CLASSIFIER_SCORE, len(logits), value * told.std().item() / len(told) ** 0.5)


TWO_SAMPLE_ACCURACY = Quantity("two_sample_accuracy", "fraction")


def two_sample_test(real: Tensor, fake: Tensor, seed: int = 0) -> Estimate:
    """The held-out accuracy of a linear classifier between images and samples (Lopez-Paz and Oquab 2017,
    https://arxiv.org/abs/1610.06545): 0.5 where none can tell them apart.

    The note gives the p-value of a better one than chance.

    >>> x = torch.randn(40, 1)
    >>> two_sample_test(x, x + 100).value
    1.0
    """
    from scipy.stats import binomtest
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    few = min(len(real), len(fake))
    x = torch.cat([real[:few], fake[:few]]).double().numpy()
    y = np.repeat([0, 1], few)
    seen, held_out, told, truth = train_test_split(x, y, test_size=0.5, stratify=y, random_state=seed)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
    right = classifier.fit(seen, told).predict(held_out) == truth
    p = binomtest(int(right.sum()), len(right), alternative="greater").pvalue
    return mean(right, TWO_SAMPLE_ACCURACY, f"p = {p:.2g} for chance")


MEMORISATION = Quantity("memorisation", "probability")


def memorisation(train: Tensor, held_out: Tensor, fake: Tensor) -> Estimate:
    """The probability that a sample is nearer to its nearest training image than a held-out image is to its
    own: 0.5 where samples are as new as these, towards 1 for copies (after Meehan et al. 2020,
    https://arxiv.org/abs/2004.05675).

    The error is that of the area under a curve (DeLong et al. 1988, https://doi.org/10.2307/2531595).

    >>> x = torch.arange(40.0)[:, None]
    >>> memorisation(x, x + 0.5, fake=x).value
    1.0
    """
    from scipy.stats import rankdata

    near, far = (nearest(x, train)[0].numpy() for x in (fake, held_out))
    ranks = rankdata(np.concatenate([-near, -far]))
    ours, theirs = ranks[: len(near)] - rankdata(-near), ranks[len(near) :] - rankdata(-far)
    of_fake, of_real = ours / len(far), 1 - theirs / len(near)
    error = (of_fake.var(ddof=1) / len(near) + of_real.var(ddof=1) / len(far)) ** 0.5
    return Estimate(float(of_fake.mean()), MEMORISATION, len(near), float(error))


def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The distance (N,) of each query (N, F) to the nearest of others (M, F), and its index (N,).

    >>> nearest(torch.tensor([[0.75]]), torch.tensor([[0.0], [1.0]]))
    (tensor([0.2500]), tensor([1]))
    """
    centre = among.mean(0)  # far from the origin, distances by differences of squares would lose their digits
    others = among - centre
    rows = max(1, PAIRS // len(among))
    index = torch.cat([torch.cdist(part - centre, others).argmin(1) for part in queries.split(rows)])
    return (queries - among[index]).norm(dim=1), index


DIVERSITY = Quantity("diversity", "ratio")


def diversity(real: Tensor, fake: Tensor, most: int = 2000) -> Estimate:
    """The mean distance between two samples, over that between two images: 0 where all samples are alike.

    >>> x = torch.randn(40, 2)
    >>> round(diversity(x, 2 * x).value, 4)
    2.0
    """
    (ours, a), (theirs, b) = (_mean_distance(x[:most]) for x in (fake, real))
    theirs = max(theirs, 1e-12)
    value = ours / theirs
    error = ((a / theirs) ** 2 + (value * b / theirs) ** 2) ** 0.5
    return Estimate(value, DIVERSITY, min(most, len(fake)), error)


def _mean_distance(x: Tensor) -> tuple[float, float]:
    """Between two rows, and its standard error as a U-statistic."""
    x = x.double() - x.double().mean(0)
    each = torch.cdist(x, x).sum(1) / (len(x) - 1)
    return each.mean().item(), 2 * each.std().item() / len(x) ** 0.5


def _given(features: Tensor) -> nn.Module:
    """What torchmetrics takes for a network, where the features are at hand."""
    identity: Any = nn.Identity()
    identity.num_features = features.shape[1]
    return identity


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """torchmetrics draws from the default generator, and warns of the memory that features take."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        torch.default_generator.manual_seed(seed)
        yield
