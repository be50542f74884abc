"""All measures of one model that need the factors, by name."""

import numpy as np

from aelab.metrics.disentanglement.information import mig, modularity
from aelab.metrics.disentanglement.intervention import beta_vae_score, factor_vae_score, irs
from aelab.metrics.disentanglement.observations import Seed
from aelab.metrics.disentanglement.prediction import dci, sap
from aelab.metrics.estimate import Estimate


def disentanglement(
    train_codes: np.ndarray,
    train_factors: np.ndarray,
    test_codes: np.ndarray,
    test_factors: np.ndarray,
    seed: Seed = 0,
    votes: int = 10_000,
    group: int = 64,
    trees: int = 50,
) -> dict[str, Estimate]:
    """Every measure of codes (N, D) given factors (N, K): what learns does so on the first images only.

    MIG, modularity and IRS learn nothing and are those of the images to test on. `votes`, of `group` images
    each, are for the FactorVAE and beta-VAE scores, `trees` for DCI: fewer are faster and noisier.
    """
    both = (train_codes, train_factors, test_codes, test_factors)
    rng = np.random.default_rng(seed)
    of_forests = dci(*both, trees=trees, seed=rng)
    return {
        "mig": mig(test_codes, test_factors, seed=rng),
        "modularity": modularity(test_codes, test_factors, seed=rng),
        "sap": sap(*both, seed=rng),
        "dci_disentanglement": of_forests[0],
        "dci_completeness": of_forests[1],
        "dci_informativeness": of_forests[2],
        "factor_vae_score": factor_vae_score(*both, votes=votes, group=group, seed=rng),
        "beta_vae_score": beta_vae_score(*both, votes=votes, group=group, seed=rng),
        "irs": irs(test_codes, test_factors, seed=rng),
    }
