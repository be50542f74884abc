"""All measures of one model that need the factors, by name."""

from collections.abc import Callable, Iterable

import numpy as np

from aelab.metrics.disentanglement.information import mig, modularity
from aelab.metrics.disentanglement.intervention import beta_vae_score, factor_vae_score, irs
from aelab.metrics.disentanglement.prediction import dci, sap
from aelab.metrics.estimate import Estimate, Seed, served


def disentanglement(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    seed: Seed = 0,
    votes: int = 10_000,
    group: int = 64,
    trees: int = 50,
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Every measure of codes (N, D) given factors (N, K), and why some refuse these.

    What learns does so on the first images only.

    MIG, modularity and IRS learn nothing and are those of the images to test on. `votes`, of `group` images
    each, are for the FactorVAE and beta-VAE scores, `trees` for DCI: fewer are faster and noisier.
    """
    both = (train_codes, train_factors, test_codes, test_factors)
    rng = np.random.default_rng(seed)
    measures: dict[str, Callable[[], Estimate | Iterable[Estimate]]] = {
        "mig": lambda: mig(test_codes, test_factors, seed=rng),
        "modularity": lambda: modularity(test_codes, test_factors, seed=rng),
        "sap": lambda: sap(*both, seed=rng),
        "dci": lambda: dci(*both, trees=trees, seed=rng),
        "factor_vae_score": lambda: factor_vae_score(*both, votes=votes, group=group, seed=rng),
        "beta_vae_score": lambda: beta_vae_score(*both, votes=votes, group=group, seed=rng),
        "irs": lambda: irs(test_codes, test_factors, seed=rng),
    }
    return served(measures)
