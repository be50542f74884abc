"""Likelihoods around a mean, with a scale that is fixed, learned, predicted for each pixel, or optimal."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions import Laplace as _Laplace
from torch.distributions import StudentT as _StudentT

from aelab.core.errors import ConfigurationError
from aelab.models import distributions
from aelab.models.distributions import bounded
from aelab.models.likelihoods.base import Likelihood, Shape

Bounds = Sequence[float] | None
UNIT = (0.0, 1.0)


def onto(bounds: Bounds) -> nn.Module:
    """From any real numbers to a bounds, whose ends are never reached; to themselves for None."""
    if bounds is None:
        return nn.Identity()
    low, high = map(float, bounds)
    return nn.Sigmoid() if (low, high) == UNIT else Between(low, high)


class Between(nn.Module):
    """low + (high - low) sigmoid(x)."""

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return self.low + (self.high - self.low) * x.sigmoid()


class LocationScale(Likelihood, ABC):
    """A density around a mean in `bounds`, which the decoder's output is squeezed into.

    bounds: of an observation's values; None: they have none. scale: its width, in units of these values.
    learned: one scalar scale is trained with the weights (sigma-VAE, Rybkin, Daniilidis and Levine 2021).
    per_pixel: the decoder gives each value a factor of it.
    """

    def __init__(
        self,
        scale: float = 1.0,
        learned: bool = False,
        per_pixel: bool = False,
        bounds: Bounds = UNIT,
    ) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ConfigurationError(f"model.likelihood.scale={scale}: the scale must be finite and above 0")
        self.activation, self.per_pixel = onto(bounds), per_pixel
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learned)

    def parameters_of(self, shape: Shape) -> Shape:
        return (2 * shape[0], *shape[1:]) if self.per_pixel else shape

    def forward(self, params: Tensor) -> Distribution:
        params = params.float()
        if not self.per_pixel:
            return self.around(self.activation(params), self.log_scale, params.dim() - 2)
        loc, log_factor = params.chunk(2, 2)
        log_scale = self.log_scale + 0.5 * bounded(2 * log_factor)
        return self.around(self.activation(loc), log_scale, params.dim() - 2)

    @abstractmethod
    def around(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> Distribution:
        """The density around `loc` (S, B, *event); log_scale: broadcastable to it."""


class Gaussian(LocationScale):
    """N(mean, scale^2): at scale 1 half the squared error, up to a constant, in nats."""

    def around(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> distributions.Gaussian:
        return distributions.Gaussian(loc, 2 * log_scale, event_dims)


class Laplace(LocationScale):
    """Laplace(mean, scale): at scale 1 the absolute error, up to a constant, in nats."""

    def around(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> distributions.Independent:
        density = _Laplace(loc, log_scale.exp(), validate_args=False)
        return distributions.Independent(density, event_dims)


class StudentT(LocationScale):
    """Student's t around a mean, whose heavy tails forgive outliers (Takahashi et al. 2018).

    degrees: of freedom; above 1, so that the mean exists.
    """

    def __init__(
        self,
        degrees: float = 5.0,
        scale: float = 1.0,
        learned: bool = False,
        per_pixel: bool = False,
        bounds: Bounds = UNIT,
    ) -> None:
        super().__init__(scale, learned, per_pixel, bounds)
        if not degrees > 1:
            raise ConfigurationError(f"model.likelihood.degrees={degrees}: above 1 the mean exists")
        self.degrees = degrees

    def around(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> distributions.Independent:
        density = _StudentT(self.degrees, loc, log_scale.exp(), validate_args=False)
        return distributions.Independent(density, event_dims)


class LogCosh(LocationScale):
    """The log-cosh loss as a density, quadratic within scale / sharpness and linear beyond it (Chen, Chen and
    Wang 2018)."""

    def __init__(
        self,
        sharpness: float = 1.0,
        scale: float = 1.0,
        learned: bool = False,
        per_pixel: bool = False,
        bounds: Bounds = UNIT,
    ) -> None:
        super().__init__(scale, learned, per_pixel, bounds)
        if not 0 < sharpness < math.inf:
            raise ConfigurationError(f"model.likelihood.sharpness={sharpness}: it must be finite and above 0")
        self.sharpness = sharpness

    def around(self, loc: Tensor, log_scale: Tensor, event_dims: int) -> distributions.LogCosh:
        return distributions.LogCosh(loc, log_scale, self.sharpness, event_dims)


class OptimalGaussian(Likelihood):
    """A Gaussian of the one scale that fits a batch best: its root mean squared error (Rybkin et al. 2021).

    Elsewhere than in training it has the scale that training arrived at, a moving average over batches.
    """

    log_variance: Tensor
    pooled = True

    def __init__(self, momentum: float = 0.01, bounds: Bounds = UNIT) -> None:
        super().__init__()
        if not 0 < momentum <= 1:
            raise ConfigurationError(f"model.likelihood.momentum={momentum}: choose one in (0, 1]")
        self.activation, self.momentum = onto(bounds), momentum
        self.register_buffer("log_variance", torch.zeros(()))

    def forward(self, params: Tensor) -> Distribution:
        loc = self.activation(params.float())
        if self.training and torch.is_grad_enabled():
            return distributions.ProfiledGaussian(loc, self._follow, params.dim() - 2)
        return distributions.Gaussian(loc, self.log_variance, params.dim() - 2)

    @torch.no_grad()
    def _follow(self, log_variance: Tensor) -> None:
        self.log_variance.lerp_(log_variance, self.momentum)
