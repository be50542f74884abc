"""A rule that calls some of the scores those of anomalies."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError


@dataclass(frozen=True)
class Threshold:
    """A rule that calls an observation an anomaly, made of the scores of normal ones that no model was
    trained on: where its conformal p-value is at most `rate` (Laxhammar and Falkman 2010; Vovk, Gammerman and
    Shafer 2005, https://doi.org/10.1007/b106715).

    normal: (N,). rate: the share of normal observations that may be called so.

    >>> rule = Threshold(torch.arange(9.0), rate=0.1)
    >>> rule.p_values(torch.tensor([8.5, 4.0]))
    tensor([0.1000, 0.6000], dtype=torch.float64)
    """

    normal: Tensor
    rate: float = 0.05

    def __post_init__(self) -> None:
        least = 1 / (len(self.normal) + 1)
        if not least <= self.rate < 1:
            raise ConfigurationError(
                f"a rate of {self.rate} false positives must lie from {least:.2g}, which {len(self.normal)} "
                "scores of normal observations can tell, to below 1"
            )

    def p_values(self, scores: Tensor) -> Tensor:
        """The share of normal scores at or above each of `scores` (B,), its own among them: (B,) float64."""
        ordered = self.normal.double().sort().values
        above = len(ordered) - torch.searchsorted(ordered, scores.double())
        return (above + 1).double() / (len(ordered) + 1)

    def anomalous(self, scores: Tensor) -> Tensor:
        """Which of `scores` (B,) are those of anomalies."""
        return self.p_values(scores) <= self.rate
