"""What the dimensions of a code tell of an observation, and the one order in which all figures show them."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from aelab.core.errors import InapplicableError
from aelab.core.records import Trace
from aelab.metrics.rate import kl_per_dimension

DEAD = 0.01  # nats of a dimension that carries nothing
STILL = 1e-4  # of the largest variance of a dimension's posterior mean: the same, where it has no nats
ROUNDING = 1e-8  # a variance that float32 gives constant codes
NATS, VARIANCE = "nats", "of variance"


@dataclass(frozen=True)
class Dimensions:
    """What each dimension tells, (latent,), in `unit`: its KL in nats, else the variance of its mean."""

    told: np.ndarray
    unit: str

    @property
    def order(self) -> np.ndarray:
        """The dimensions, the one that tells most first."""
        return np.argsort(-self.told, kind="stable")

    @property
    def dead(self) -> np.ndarray:
        """Which of them carry nothing, (latent,)."""
        least = DEAD if self.unit == NATS else max(STILL * self.told.max(), ROUNDING)
        return np.asarray(self.told < least)


def dimensions(traces: Iterable[Trace], codes: np.ndarray) -> Dimensions:
    """The dimensions of a model's codes, by some traces; codes (N, latent): of posteriors without a KL."""
    try:
        kl = torch.cat([kl_per_dimension(trace) for trace in traces]).mean(0).cpu().numpy()
        return Dimensions(kl, NATS)
    except InapplicableError:
        return Dimensions(codes.var(0), VARIANCE)
