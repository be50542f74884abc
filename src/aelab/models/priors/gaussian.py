"""Gaussian priors, the same for every context or linear in it."""

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, StandardGaussian, bounded
from aelab.models.priors.base import Encodes, Prior


class StandardNormal(Prior):
    """N(0, I), the same for every context."""

    zeros: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(sizes.latent), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> StandardGaussian:
        return StandardGaussian(self.zeros)


class Conditional(Prior):
    """N(m(c), diag(s^2(c))), linear in the context: the prior of a conditional VAE (Sohn, Lee and Yan 2015).

    forward: context (B, C) -> Gaussian over (B, latent). Begins as N(0, I).
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        if sizes.context < 1:
            raise ConfigurationError(
                "prior=conditional needs a context and the model has none: add condition=label, "
                "or choose prior=standard_normal"
            )
        self.projection = nn.Linear(sizes.context, 2 * sizes.latent)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, context: Tensor | None, model: Encodes) -> Gaussian:
        assert context is not None
        loc, log_variance = self.projection(context).float().chunk(2, -1)
        return Gaussian(loc, bounded(log_variance))
