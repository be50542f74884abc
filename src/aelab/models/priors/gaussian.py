"""Gaussian priors, the same for every context or linear in it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models.distributions import Gaussian, StandardGaussian, bounded
from aelab.models.priors.base import Encode, Prior


class StandardNormal(Prior):
    """N(0, I), the same for every context."""

    zeros: Tensor

    def __init__(self, latent: int, context: int = 0, shape: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def forward(self, context: Tensor | None, encode: Encode) -> StandardGaussian:
        return StandardGaussian(self.zeros)


class Conditional(Prior):
    """N(m(c), diag(s^2(c))), linear in the context: the prior of a conditional VAE (Sohn, Lee and Yan 2015).

    forward: context (B, C) -> Gaussian over (B, latent). Begins as N(0, I).
    """

    def __init__(self, latent: int, context: int = 0, shape: Sequence[int] = ()) -> None:
        super().__init__()
        if context < 1:
            raise ConfigurationError(
                "prior=conditional needs a context and the model has none: add condition=label, "
                "or choose prior=standard_normal"
            )
        self.projection = nn.Linear(context, 2 * latent)
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, context: Tensor | None, encode: Encode) -> Gaussian:
        assert context is not None
        loc, log_variance = self.projection(context).float().chunk(2, -1)
        return Gaussian(loc, bounded(log_variance))
