"""Codes on the unit sphere."""

import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import distributions
from aelab.models.posteriors.base import Features, Posterior, vector


class VonMisesFisher(Posterior):
    """A von Mises-Fisher distribution on the sphere in `latent` dimensions, of latent - 1 degrees of freedom
    (Davidson et al. 2018).

    concentration: one for all observations, which fixes the rate, so that it cannot collapse (Xu and Durrett
        2018, https://arxiv.org/abs/1808.10805); None: the encoder's, from 1 upwards.
    """

    def __init__(self, features: Features, sizes: Sizes, concentration: float | None = None) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        if latent < 2:
            raise ConfigurationError(
                f"posterior=von_mises_fisher needs a sphere of at least 2 dimensions and latent={latent}"
            )
        if concentration is not None and concentration <= 0:
            raise ConfigurationError(
                f"model.posterior.concentration={concentration}: above 0, or null for the encoder's"
            )
        self.concentration = concentration
        told = latent + (concentration is None)
        self.projection = nn.Linear(vector(features, "von_mises_fisher"), told)

    def forward(self, h: Tensor, step: int = 0) -> distributions.VonMisesFisher:
        found = self.projection(h).float()
        direction, told = found[..., : self.latent], found[..., self.latent :]
        if self.concentration is None:
            # From 1 up, as in the paper: below it the density is nearly uniform and its gradient vanishes.
            kappa = F.softplus(told[..., 0]) + 1
        else:
            kappa = direction.new_full(direction.shape[:-1], self.concentration)
        return distributions.VonMisesFisher(F.normalize(direction, dim=-1), kappa)
