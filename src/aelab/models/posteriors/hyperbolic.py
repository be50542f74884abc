"""Codes in hyperbolic space."""

import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.records import Sizes
from aelab.models import distributions
from aelab.models.distributions.hyperbolic import from_origin, inside
from aelab.models.posteriors.base import Features, Posterior, vector


class WrappedNormal(Posterior):
    """A wrapped normal distribution of the Poincaré ball (Mathieu et al. 2019)."""

    def __init__(self, features: Features, sizes: Sizes) -> None:
        super().__init__((sizes.latent,))
        self.projection = nn.Linear(vector(features, "wrapped_normal"), 2 * sizes.latent)

    def forward(self, h: Tensor, step: int = 0) -> distributions.WrappedNormal:
        tangent, scale = self.projection(h).float().chunk(2, -1)
        return distributions.WrappedNormal(inside(from_origin(tangent)), 2 * (F.softplus(scale) + 1e-5).log())
