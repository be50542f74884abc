"""Posteriors q(z|x,c): from the encoder's features to a distribution over codes. Each owns its projection."""

from collections.abc import Callable

from torch import Tensor, nn

from aelab.distributions import Gaussian, PointMass, bounded
from aelab.errors import ConfigurationError


def check_latent(latent: int) -> int:
    """The latent size if it is a positive integer; ConfigurationError otherwise."""
    if not isinstance(latent, int) or isinstance(latent, bool) or latent < 1:
        raise ConfigurationError(f"latent={latent}: the latent size must be an integer of at least 1")
    return latent


class Deterministic(nn.Module):
    """A point: z = activation(W h + b), the code of a plain autoencoder.

    forward: h (B, features) -> PointMass over (B, latent).
    """

    def __init__(self, features: int, latent: int, activation: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.projection = nn.Linear(features, check_latent(latent))
        self.activation = activation()

    def forward(self, h: Tensor, context: Tensor | None = None) -> PointMass:
        return PointMass(self.activation(self.projection(h)).float())


class DiagonalGaussian(nn.Module):
    """N(m, diag(s^2)) with activation(m) and log s^2 linear in the features (Kingma and Welling 2014).

    forward: h (B, features) -> Gaussian over (B, latent).
    """

    def __init__(self, features: int, latent: int, activation: Callable[[], nn.Module] = nn.Identity) -> None:
        super().__init__()
        self.projection = nn.Linear(features, 2 * check_latent(latent))
        self.activation = activation()

    def forward(self, h: Tensor, context: Tensor | None = None) -> Gaussian:
        loc, log_variance = self.projection(h).float().chunk(2, -1)
        return Gaussian(self.activation(loc), bounded(log_variance))
