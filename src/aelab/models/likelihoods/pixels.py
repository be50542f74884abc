"""Likelihoods of binary pixels, and of pixels on [0, 1], given by logits."""

from torch import Tensor

from aelab.models import distributions
from aelab.models.likelihoods.base import Likelihood


class Bernoulli(Likelihood):
    """Independent binary values; on grey values in [0, 1] its negative log is the cross-entropy."""

    binary = True

    def forward(self, params: Tensor) -> distributions.Bernoulli:
        return distributions.Bernoulli(params.float(), params.dim() - 2)


class ContinuousBernoulli(Likelihood):
    """A density on [0, 1] in place of the cross-entropy (Loaiza-Ganem and Cunningham 2019)."""

    def forward(self, params: Tensor) -> distributions.ContinuousBernoulli:
        return distributions.ContinuousBernoulli(params.float(), params.dim() - 2)
