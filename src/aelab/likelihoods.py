"""Likelihoods p(x|z,c): from the decoder's output to a distribution over observations.

`parameters_per_value` says how many numbers the decoder gives for each value of an observation. All of
them are cast to float32, so that mixed precision never meets a log-density in half precision.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent
from torch.distributions import Laplace as _Laplace

from aelab import distributions
from aelab.errors import ConfigurationError


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, k * C, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    k is `parameters_per_value`.
    """

    parameters_per_value: int = 1

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...


class Bernoulli(Likelihood):
    """Independent binary values; on grey values in [0, 1] its negative log is the cross-entropy."""

    def forward(self, params: Tensor) -> distributions.Bernoulli:
        return distributions.Bernoulli(params.float(), params.dim() - 2)


class ContinuousBernoulli(Likelihood):
    """A density on [0, 1] in place of the cross-entropy (Loaiza-Ganem and Cunningham 2019)."""

    def forward(self, params: Tensor) -> distributions.ContinuousBernoulli:
        return distributions.ContinuousBernoulli(params.float(), params.dim() - 2)


class _LocationScale(Likelihood, ABC):
    def __init__(self, scale: float, learned: bool, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        if not 0 < scale < math.inf:
            raise ConfigurationError(f"likelihood.scale={scale}: the scale must be finite and above 0")
        self.activation = activation()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)), requires_grad=learned)


class Gaussian(_LocationScale):
    """N(activation(params), scale^2): at scale 1 half the squared error, up to a constant, in nats.

    learned: one scalar scale is trained with the weights (sigma-VAE, Rybkin, Daniilidis and Levine 2021).
    """

    def __init__(
        self, scale: float = 1.0, learned: bool = False, activation: Callable[[], nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__(scale, learned, activation)

    def forward(self, params: Tensor) -> distributions.Gaussian:
        loc = self.activation(params.float())
        return distributions.Gaussian(loc, 2 * self.log_scale, params.dim() - 2)


class Laplace(_LocationScale):
    """Laplace(activation(params), scale): at scale 1 the absolute error, up to a constant, in nats."""

    def __init__(
        self, scale: float = 1.0, learned: bool = False, activation: Callable[[], nn.Module] = nn.Sigmoid
    ) -> None:
        super().__init__(scale, learned, activation)

    def forward(self, params: Tensor) -> Distribution:
        density = _Laplace(self.activation(params.float()), self.log_scale.exp(), validate_args=False)
        return Independent(density, params.dim() - 2, validate_args=False)
