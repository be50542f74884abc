"""Codes on the unit sphere."""

import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import distributions
from aelab.models.posteriors.base import Features, Posterior, vector


class VonMisesFisher(Posterior):
    """A von Mises-Fisher distribution on the sphere in `latent` dimensions, of latent - 1 degrees of freedom
    (Davidson et al. 2018)."""

    def __init__(self, features: Features, sizes: Sizes) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        if latent < 2:
            raise ConfigurationError(
                f"posterior=von_mises_fisher needs a sphere of at least 2 dimensions and latent={latent}"
            )
        self.projection = nn.Linear(vector(features, "von_mises_fisher"), latent + 1)

    def forward(self, h: Tensor, step: int = 0) -> distributions.VonMisesFisher:
        direction, concentration = self.projection(h).float().split([self.latent, 1], -1)
        # From 1 upwards, as in the paper: below it the density is nearly uniform and its gradient vanishes.
        kappa = F.softplus(concentration[..., 0]) + 1
        return distributions.VonMisesFisher(F.normalize(direction, dim=-1), kappa)
