"""All that labels say about codes, by name."""

import numpy as np

from aelab.metrics.estimate import Estimate, served
from aelab.metrics.representation.clustering import clustering
from aelab.metrics.representation.probes import few_label_probe, linear_probe, nearest_neighbours


def representation(
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    codes: np.ndarray,
    labels: np.ndarray,
    seed: int = 0,
    draws: int = 10,
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """All that labels say about codes, both probes, neighbours, and the clusters of the test codes, and why
    some of it cannot be said of these."""
    given = train_codes, train_labels, codes, labels
    return served(
        {
            "linear_probe": lambda: linear_probe(*given),
            "nearest_neighbours": lambda: nearest_neighbours(*given),
            "few_label_probe": lambda: few_label_probe(*given, draws=draws, seed=seed),
            "clusters": lambda: clustering(codes, labels, seed).values(),
        }
    )
