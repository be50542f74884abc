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

from aelab.errors import ConfigurationError, NonFiniteError
from aelab.metrics.estimate import Estimate, mean

NEAREST = 5
GROUPS = 5
CHUNK = 256  # queries that are compared with all training images at once


def generation(
    real: Tensor, fake: Tensor, train: Tensor | None, fake_logits: Tensor, seed: int
) -> dict[str, Estimate]:
    """All of this module for features of held-out images, samples and training images, and samples' logits.

    train: None where nothing is asked of copies.
    Raises NonFiniteError for features that are not finite, ConfigurationError for too few of them.
    """
    for name, features in {"real": real, "fake": fake, "train": train}.items():
        if features is None:
            continue
        if not features.isfinite().all():
            raise NonFiniteError(f"the features of {name} images are not all finite")
        if len(features) < 4 * NEAREST:
            raise ConfigurationError(
                f"{len(features)} {name} images are too few to compare: give at least {4 * NEAREST}"
            )
    if not fake_logits.isfinite().all():
        raise NonFiniteError("the class logits of fake images are not all finite")
    return {
        "frechet": frechet(real, fake, seed),
        "kernel_distance": kernel_distance(real, fake, seed),
        **precision_recall(real, fake),
        "classifier_score": classifier_score(fake_logits, seed),
        "two_sample_accuracy": two_sample_test(real, fake, seed),
        **({} if train is None else {"memorisation": memorisation(train, real, fake)}),
        "diversity": diversity(real, fake),
    }


def frechet(real: Tensor, fake: Tensor, seed: int = 0, resamples: int = 20) -> Estimate:
    """The Frechet distance of the Gaussians with the features' means and covariances (Heusel et al. 2017).

    It is biased upwards by about 1 / N; the error is the bootstrap's.
    """
    rng = np.random.default_rng(seed)

    def distance(a: Tensor, b: Tensor) -> float:
        from torchmetrics.image.fid import FrechetInceptionDistance

        metric = FrechetInceptionDistance(feature=_given(a))
        metric.update(a.double(), real=True)
        metric.update(b.double(), real=False)
        return max(0.0, metric.compute().item())

    def resampled(x: Tensor) -> Tensor:
        return x[torch.from_numpy(rng.integers(len(x), size=len(x)))]

    spread = [distance(resampled(real), resampled(fake)) for _ in range(resamples)]
    return Estimate(distance(real, fake), "squared feature units", len(fake), float(np.std(spread, ddof=1)))


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0, subsets: int = 50) -> Estimate:
    """The squared MMD with the cubic kernel (Binkowski et al. 2018), unbiased: it can be below 0.

    The mean over random subsets; their spread is scaled to all samples for the error: subsets of half of them
    differ as much as sets of all of them do.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    few = min(len(real), len(fake))
    size = min(1000, few // 2)
    with _seeded(seed):
        metric = KernelInceptionDistance(feature=_given(real), subsets=subsets, subset_size=size)
        metric.update(real, real=True)
        metric.update(fake, real=False)
        value, spread = metric.compute()
    return Estimate(value.item(), "squared kernel units", few, spread.item() * (size / (few - size)) ** 0.5)


def precision_recall(real: Tensor, fake: Tensor) -> dict[str, Estimate]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    Errors are binomial, with the neighbourhoods given; that of the density is over groups of samples.
    """
    from prdc.prdc import compute_nearest_neighbour_distances, compute_pairwise_distance

    # `compute_prdc` gives the means of these alone, and would find all distances anew for each group.
    x, y, few = real.numpy(), fake.numpy(), min(NEAREST, len(fake) - 2)
    around_real, around_fake = (compute_nearest_neighbour_distances(part, few) for part in (x, y))
    distance = compute_pairwise_distance(x, y)
    held = distance < around_real[:, None]
    dense = torch.from_numpy(held.sum(0) / few)
    groups = torch.stack([part.mean() for part in dense.chunk(GROUPS)])
    error = groups.std().item() / GROUPS**0.5
    return {
        "precision": _share(held.any(0)),
        "recall": _share((distance < around_fake).any(1)),
        "coverage": _share(distance.min(1) < around_real),
        "density": Estimate(dense.mean().item(), "relative density", len(fake), error),
    }


def _share(held: np.ndarray) -> Estimate:
    """Of those that are held (N,), with its binomial error."""
    share = float(held.mean())
    return Estimate(share, "fraction", len(held), (share * (1 - share) / len(held)) ** 0.5)


def classifier_score(logits: Tensor, seed: int = 0, splits: int = 10) -> Estimate:
    """exp E KL(p(y|x) || p(y)): the effective number of classes that are told apart, the Inception score's
    formula (Salimans et al. 2016). logits: (N, classes). The error is over splits of the samples."""
    from torchmetrics.image.inception import InceptionScore

    with _seeded(seed):
        metric = InceptionScore(feature=_given(logits), splits=splits)
        metric.update(logits)
        value, spread = metric.compute()
    return Estimate(value.item(), "classes", len(logits), spread.item() / splits**0.5)


def two_sample_test(real: Tensor, fake: Tensor, seed: int = 0) -> Estimate:
    """The held-out accuracy of a linear classifier between images and samples (Lopez-Paz and Oquab 2017): 0.5
    where none can tell them apart. The note gives the p-value of a better one than chance."""
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
    return mean(right, "fraction", f"p = {p:.2g} for chance")


def memorisation(train: Tensor, held_out: Tensor, fake: Tensor) -> Estimate:
    """The probability that a sample is nearer to its nearest training image than a held-out image is to its
    own: 0.5 where samples are as new as these, towards 1 for copies (after Meehan et al. 2020).

    The error is DeLong's, of the area under a curve.
    """
    from scipy.stats import rankdata

    near, far = (nearest(x, train)[0].numpy() for x in (fake, held_out))
    ranks = rankdata(np.concatenate([-near, -far]))
    ours, theirs = ranks[: len(near)] - rankdata(-near), ranks[len(near) :] - rankdata(-far)
    of_fake, of_real = ours / len(far), 1 - theirs / len(near)
    error = (of_fake.var(ddof=1) / len(near) + of_real.var(ddof=1) / len(far)) ** 0.5
    return Estimate(float(of_fake.mean()), "probability", len(near), float(error))


def nearest(queries: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """The distance (N,) of each query (N, F) to the nearest of others (M, F), and its index (N,)."""
    centre = among.mean(0)  # far from the origin, distances by differences of squares would lose their digits
    others = among - centre
    index = torch.cat([torch.cdist(part - centre, others).argmin(1) for part in queries.split(CHUNK)])
    return (queries - among[index]).norm(dim=1), index


def diversity(real: Tensor, fake: Tensor, most: int = 2000) -> Estimate:
    """The mean distance between two samples, over that between two images: 0 where all samples are alike."""
    (ours, a), (theirs, b) = (_mean_distance(x[:most]) for x in (fake, real))
    theirs = max(theirs, 1e-12)
    value = ours / theirs
    error = ((a / theirs) ** 2 + (value * b / theirs) ** 2) ** 0.5
    return Estimate(value, "ratio", min(most, len(fake)), error)


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
