"""What happens to units where one factor is held: FactorVAE's and beta-VAE's scores, and robustness.

There is no generator of images here but a set of them: for a level of a factor, images are drawn, with
repetitions, among those that show it. The other factors are as varied as they are among these. Levels that
fewer than 5 images show are left out, and so are factors of which less than two levels remain.
"""

from collections.abc import Callable

import numpy as np

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.metrics.disentanglement.observations import FEWEST, Pair, alive, prepared, split
from aelab.metrics.estimate import Estimate, Seed, jackknife, mean

GROUPS = 20
AT_ONCE = 256  # votes whose codes are in memory
OF_VOTES = "the error is rough, and on the small side, that of the votes alone"


class Members:
    """The images that show each level of a factor, given as levels (N,)."""

    def __init__(self, levels: np.ndarray) -> None:
        self.order = np.argsort(levels, kind="stable")
        self.counts = np.bincount(levels)
        self.starts = self.counts.cumsum() - self.counts
        self.known = np.flatnonzero(self.counts >= FEWEST)

    def levels(self, shape: tuple[int, int], generator: np.random.Generator) -> np.ndarray:
        """Levels that enough images show, each as likely."""
        return generator.choice(self.known, shape)

    def draw(self, levels: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """An image (index) for each of the levels, of any shape."""
        place = generator.random(levels.shape) * self.counts[levels]
        return self.order[self.starts[levels] + place.astype(np.int64)]


View = Callable[[np.ndarray, Members, int, int, np.random.Generator], np.ndarray]


def _steadiest(
    codes: np.ndarray, members: Members, votes: int, group: int, generator: np.random.Generator
) -> np.ndarray:
    """Which unit of codes (N, D) varies least in groups of images of one level, (votes,)."""
    levels = np.repeat(members.levels((votes, 1), generator), group, axis=1)
    return codes[members.draw(levels, generator)].var(1).argmin(1)


def _differences(
    codes: np.ndarray, members: Members, votes: int, group: int, generator: np.random.Generator
) -> np.ndarray:
    """How far two images of one level lie apart in each unit, averaged over pairs, (votes, D)."""
    levels = members.levels((votes, group), generator)
    return np.abs(codes[members.draw(levels, generator)] - codes[members.draw(levels, generator)]).mean(1)


def _votes(
    view: View, codes: np.ndarray, factors: list[Members], votes: int, group: int, rng: np.random.Generator
) -> Pair:
    """What each vote sees (votes, ...) and which factor was held (votes,), each as likely."""
    held = np.sort(rng.integers(len(factors), size=votes))
    counts = np.bincount(held, minlength=len(factors))
    seen = [
        view(codes, members, min(AT_ONCE, count - done), group, rng)
        for members, count in zip(factors, counts, strict=True)
        for done in range(0, count, AT_ONCE)
    ]
    return np.concatenate(seen), held


def _ready(train: Pair, test: Pair) -> tuple[np.ndarray, list[Members], np.ndarray, list[Members]]:
    """Codes whose dead units are left out and whose others have unit variance, with their factors."""
    (codes, levels), (others, truth) = split(train, test, units=1, fewest=2)
    pairs = [(Members(a), Members(b)) for a, b in zip(levels.T, truth.T, strict=True)]
    pairs = [pair for pair in pairs if min(len(side.known) for side in pair) > 1]
    if len(pairs) < 2:
        raise InapplicableError(
            f"{len(pairs)} factors have two levels that {FEWEST} or more of {len(codes)} and of {len(others)}"
            " images show, and two are compared: give more images"
        )
    kept = alive(codes)
    scale = codes[:, kept].std(0)
    first, second = (list(side) for side in zip(*pairs, strict=True))
    return codes[:, kept] / scale, first, others[:, kept] / scale, second


FACTOR_VAE_SCORE = Quantity("factor_vae_score", "fraction", True)


def factor_vae_score(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    votes: int = 10_000,
    group: int = 64,
    seed: Seed = 0,
) -> Estimate:
    """The FactorVAE score: how often the unit that varies least in a group of images tells which factor they
    share (Kim and Mnih 2018, https://arxiv.org/abs/1802.05983).

    Variances are in shares of those over all images; each unit stands for the factor that is
    held most often where it varies least. That is learnt from `votes` groups of the images to train on and
    scored on half as many of those to test on. Noise gets the share of the commonest factor, 1/K or a bit
    more. Units that do not vary (standard deviation below 0.05 of the largest) have no vote.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> codes = factors.astype(float)
    >>> factor_vae_score(codes, factors, codes, factors, votes=50).value
    1.0
    """
    codes, factors, others, truth = _ready((train_codes, train_factors), (test_codes, test_factors))
    rng = np.random.default_rng(seed)
    units, held = _votes(_steadiest, codes, factors, votes, group, rng)
    table = np.zeros((codes.shape[1], len(factors)), dtype=np.int64)
    np.add.at(table, (units, held), 1)
    units, held = _votes(_steadiest, others, truth, max(votes // 2, 1), group, rng)
    note = f"groups of {group}; {OF_VOTES}"
    return mean(table.argmax(1)[units] == held, FACTOR_VAE_SCORE, note)


BETA_VAE_SCORE = Quantity("beta_vae_score", "fraction", True)


def beta_vae_score(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    votes: int = 10_000,
    group: int = 64,
    seed: Seed = 0,
) -> Estimate:
    """The beta-VAE score: how often a linear classifier tells from the difference of codes which factor two
    images share (Higgins et al. 2017, https://openreview.net/forum?id=Sy2fzU9gl).

    The difference is averaged over `group` pairs that share the level of one factor,
    each pair its own level. The classifier, a logistic regression as in disentanglement_lib, learns from
    `votes` averages and is scored on half as many, of the images to test on. Units are brought to one scale
    before, so that their penalty is the same, and those that do not vary are left out. A factor that is
    spread over units of its own costs nothing, unlike one that shares them. Noise gets about 1/K.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> codes = factors.astype(float)
    >>> beta_vae_score(codes, factors, codes, factors, votes=50).value
    1.0
    """
    from sklearn.linear_model import LogisticRegression

    codes, factors, others, truth = _ready((train_codes, train_factors), (test_codes, test_factors))
    rng = np.random.default_rng(seed)
    seen, held = _votes(_differences, codes, factors, votes, group, rng)
    if len(np.unique(held)) < 2:
        raise InapplicableError(f"votes={votes}: a classifier needs some for two factors or more, as of 1000")
    reader = LogisticRegression(max_iter=1000).fit(seen, held)
    seen, held = _votes(_differences, others, truth, max(votes // 2, 1), group, rng)
    note = f"{group} pairs; {OF_VOTES}"
    return mean(reader.predict(seen) == held, BETA_VAE_SCORE, note)


def _robustness(codes: np.ndarray, factors: list[np.ndarray], quantile: float) -> float:
    """The score of codes (N, D) given factors (N,), of which levels that few images show are left out."""
    largest = np.abs(codes - codes.mean(0)).max(0)
    effects = []
    for levels in factors:
        known = np.flatnonzero(np.bincount(levels) >= FEWEST)
        groups = [codes[levels == level] for level in known]
        moved = [np.quantile(np.abs(group - group.mean(0)), quantile, axis=0) for group in groups]
        effects.append(np.mean(moved, axis=0))
    robust = 1 - np.stack(effects) / np.where(largest > 0, largest, 1)  # (K, D)
    return float(np.average(robust.max(0), weights=largest))


IRS = Quantity("irs", "fraction", True)


def irs(codes: np.ndarray, factors: np.ndarray, quantile: float = 0.99, seed: Seed = 0) -> Estimate:
    """The interventional robustness score of codes (N, D) given factors (N, K): how little units move while
    their factor is held (Suter et al. 2019, https://arxiv.org/abs/1811.00007).

    1 less how far a unit strays from its mean while its own factor has one level (the 0.99 quantile of the
    distances, as in disentanglement_lib; the paper's maximum is quantile=1), in shares of the farthest that
    it strays at all; averaged over units, weighted by the latter. Normal noise gets about 0.3, as its
    farthest value lies well beyond that quantile, and more where a level is shown by few images.

    >>> factors = np.stack([np.arange(80) % 2, np.arange(80) // 2 % 2], 1)
    >>> irs(factors.astype(float), factors).value
    1.0
    """
    codes, levels = prepared(codes, factors, units=1)
    columns = [column for column in levels.T if (np.bincount(column) >= 2 * FEWEST).sum() > 1]
    if not columns:
        raise InapplicableError(
            f"no factor has two levels that {2 * FEWEST} or more of {len(codes)} images show: give more"
        )

    def robust(index: np.ndarray) -> np.ndarray:
        return np.array([_robustness(codes[index], [column[index] for column in columns], quantile)])

    error = jackknife(robust, len(codes), groups=GROUPS, seed=seed)
    value = robust(np.arange(len(codes)))
    note = f"quantile {quantile:g}; the error is rough, either way"
    return Estimate(value.item(), IRS, len(codes), error.item(), note=note)
