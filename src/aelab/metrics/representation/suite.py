"""All that labels say about codes, by name."""

import numpy as np

from aelab.metrics.estimate import Estimate, named
from aelab.metrics.representation.clustering import clustering
from aelab.metrics.representation.probes import few_label_probe, linear_probe, nearest_neighbours


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
