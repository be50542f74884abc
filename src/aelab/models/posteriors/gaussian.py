"""A point, and Gaussians whose covariance is diagonal, of low rank, or full."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal, MultivariateNormal

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, PointMass, bounded
from aelab.models.posteriors.base import Features, Posterior, head, layout_of, vector

Activation = Callable[[], nn.Module]


class Deterministic(Posterior):
    """A point: z = activation(W h + b), the code of a plain autoencoder; of a map, at each of its places."""

    def __init__(self, features: Features, sizes: Sizes, activation: Activation = nn.Identity) -> None:
        super().__init__(layout_of(features, sizes.latent))
        self.projection = head(features, sizes.latent)
        self.activation = activation()

    def forward(self, h: Tensor, step: int = 0) -> PointMass:
        return PointMass(self.activation(self.projection(h)).float().flatten(-len(self.layout)))


class DiagonalGaussian(Posterior):
    """N(m, diag(s^2)) with activation(m) and log s^2 linear in the features, at each place of a map
    (Kingma and Welling 2014)."""

    def __init__(self, features: Features, sizes: Sizes, activation: Activation = nn.Identity) -> None:
        super().__init__(layout_of(features, sizes.latent))
        self.projection = head(features, 2 * sizes.latent)
        self.activation = activation()

    def forward(self, h: Tensor, step: int = 0) -> Gaussian:
        dims = -len(self.layout)
        loc, log_variance = self.projection(h).float().chunk(2, dims)
        return Gaussian(self.activation(loc).flatten(dims), bounded(log_variance).flatten(dims))


class LowRankGaussian(Posterior):
    """N(m, W W' + diag(s^2)), W of `rank` columns, all linear in the features (Rezende et al. 2014)."""

    def __init__(
        self, features: Features, sizes: Sizes, rank: int = 2, activation: Activation = nn.Identity
    ) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        if not 1 <= rank <= latent:
            raise ConfigurationError(f"model.posterior.rank={rank}: choose a rank from 1 to latent={latent}")
        self.projection = nn.Linear(vector(features, "low_rank_gaussian"), (2 + rank) * latent)
        self.activation = activation()

    def forward(self, h: Tensor, step: int = 0) -> LowRankMultivariateNormal:
        loc, log_variance, *columns = self.projection(h).float().split(self.latent, -1)
        diagonal, factor = bounded(log_variance).exp(), torch.stack(columns, -1)
        return LowRankMultivariateNormal(self.activation(loc), factor, diagonal, validate_args=False)


class FullGaussian(Posterior):
    """N(m, L L') with m and the triangular L linear in the features, the diagonal of L made positive."""

    def __init__(self, features: Features, sizes: Sizes, activation: Activation = nn.Identity) -> None:
        latent = sizes.latent
        super().__init__((latent,))
        self.projection = nn.Linear(vector(features, "full_gaussian"), (2 + latent) * latent)
        self.activation = activation()

    def forward(self, h: Tensor, step: int = 0) -> MultivariateNormal:
        loc, scale, *columns = self.projection(h).float().split(self.latent, -1)
        # Divided, so that the covariance at the start does not grow with the latent size.
        below = torch.stack(columns, -1).tril(-1) / self.latent
        factor = below + F.softplus(scale).clamp_min(1e-4).diag_embed()
        return MultivariateNormal(self.activation(loc), scale_tril=factor, validate_args=False)
