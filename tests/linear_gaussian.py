"""A linear-Gaussian model in double precision, whose evidence and posterior are known: probabilistic PCA with
a prior of its own mean and scales (Tipping and Bishop 1999)."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from aelab.models import Autoencoder
from aelab.models.distributions import Gaussian
from aelab.models.likelihoods import Likelihood
from aelab.models.posteriors import Posterior
from aelab.models.priors import Prior

SIZE, LATENT, NOISE = 5, 2, 0.6


class Affine(Posterior):
    def __init__(self, latent: int) -> None:
        super().__init__((latent,))
        self.slope = nn.Parameter(torch.zeros(latent, SIZE))
        self.shift = nn.Parameter(torch.zeros(latent))
        self.log_variance = nn.Parameter(torch.zeros(latent))

    def forward(self, h: Tensor, step: int = 0) -> Gaussian:
        loc = h @ self.slope.T + self.shift
        return Gaussian(loc, self.log_variance.expand(loc.shape))


class Decoder(nn.Module):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(SIZE, latent)), nn.Parameter(torch.zeros(SIZE))

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return z @ self.weight.T + self.bias


class Encoder(nn.Module):
    features = SIZE

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x


class Noise(Likelihood):
    def forward(self, params: Tensor) -> Gaussian:
        return Gaussian(params, params.new_full((), 2 * math.log(NOISE)))


class Learned(Prior):
    def __init__(self, latent: int) -> None:
        super().__init__()
        self.loc, self.log_variance = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))

    def forward(self, context: Tensor | None, model: Autoencoder) -> Gaussian:
        return Gaussian(self.loc, self.log_variance)


def linear_gaussian(
    exact: bool = False, structure: Callable[..., Autoencoder] = Autoencoder, **options: Any
) -> tuple[Autoencoder, MultivariateNormal]:
    """The model, and the distribution of x that it defines; exact: its posterior, else one that is off."""
    draw = {"generator": torch.Generator().manual_seed(0), "dtype": torch.float64}
    model = structure(
        encoder=Encoder(),
        posterior=Affine(LATENT),
        decoder=Decoder(LATENT),
        likelihood=Noise(),
        prior=Learned(LATENT),
        **options,
    ).double()
    # Orthogonal columns, so that the exact posterior has a diagonal covariance.
    weight = torch.linalg.qr(torch.randn(SIZE, LATENT, **draw))[0] * torch.tensor([1.5, 0.7])
    bias, loc = torch.randn(SIZE, **draw), torch.tensor([0.5, -0.3])
    log_variance = torch.tensor([0.2, -0.4]).double()
    variance = 1 / (weight.square().sum(0) / NOISE**2 + (-log_variance).exp())
    slope = variance[:, None] * weight.T / NOISE**2
    shift = variance * loc / log_variance.exp() - slope @ bias
    off = 0.0 if exact else 1.0
    with torch.no_grad():
        model.decoder.weight.copy_(weight)
        model.decoder.bias.copy_(bias)
        model.prior.loc.copy_(loc)
        model.prior.log_variance.copy_(log_variance)
        model.posterior.slope.copy_(slope * (1 - 0.2 * off))
        model.posterior.shift.copy_(shift + 0.1 * off)
        model.posterior.log_variance.copy_(variance.log() + 0.3 * off * torch.tensor([1.0, -1.0]))
    covariance = weight @ log_variance.exp().diag() @ weight.T + NOISE**2 * torch.eye(
        SIZE, dtype=torch.float64
    )
    return model, MultivariateNormal(weight @ loc.double() + bias, covariance)
