"""Gaussians with diagonal covariance, the standard one, and divergences between Gaussians of any kind."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import (
    Distribution,
    LowRankMultivariateNormal,
    MultivariateNormal,
    constraints,
    register_kl,
)

from aelab.models.distributions.base import ONE, Factorised, Shape, sum_event

LOG_2PI = math.log(2 * math.pi)


class Gaussian(Factorised):
    """A Gaussian with diagonal covariance over the last `event_dims` dimensions.

    loc: (*batch, *event), the mean.
    log_variance: broadcastable to `loc`, in nats.

    >>> Gaussian(torch.zeros(2), torch.zeros(2)).log_prob(torch.zeros(2))  # -log 2 pi
    tensor(-1.8379)
    """

    has_rsample = True
    support = constraints.real

    def __init__(self, loc: Tensor, log_variance: Tensor, event_dims: int = 1) -> None:
        self.loc, self.log_variance = loc, log_variance
        super().__init__(loc, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp().expand(self.loc.shape)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        noise = torch.randn(*sample_shape, *self.loc.shape, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + noise * (0.5 * self.log_variance).exp()

    def each(self, value: Tensor) -> Tensor:
        return -0.5 * self._twice(value)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * sum_event(self._twice(value), len(self.event_shape))

    def _twice(self, value: Tensor) -> Tensor:
        square = (value - self.loc).square() * (-self.log_variance).exp()
        return square + self.log_variance + LOG_2PI

    def entropy(self) -> Tensor:
        nats = (0.5 * (self.log_variance + LOG_2PI + 1)).expand(self.loc.shape)
        return sum_event(nats, len(self.event_shape))


class ProfiledGaussian(Factorised):
    """A Gaussian whose one variance is that under which the value is most likely: its mean squared error.

    loc: (S, B, *event). follow: is told the logarithm of each variance that was used.
    counted: 1 for the values whose error counts, 0 for others, broadcastable to `loc`; all if None.

    >>> p = ProfiledGaussian(torch.zeros(1, 1, 4), follow=lambda log_variance: None, event_dims=1)
    >>> p.log_prob(torch.ones(1, 4))  # -2 (1 + log 2 pi)
    tensor([[-5.6758]])
    """

    support = constraints.real

    def __init__(
        self,
        loc: Tensor,
        follow: Callable[[Tensor], None],
        event_dims: int,
        counted: Tensor | None = None,
    ) -> None:
        self.loc, self.follow, self.counted = loc, follow, counted
        super().__init__(loc, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def each(self, value: Tensor) -> Tensor:
        square = (value - self.loc).square()
        if self.counted is None:
            mean = square.mean()
        else:
            mean = (square * self.counted).sum() / self.counted.expand_as(square).sum()
        log_variance = bounded(mean.clamp_min(1e-12).log())
        self.follow(log_variance.detach())
        return Gaussian(self.loc, log_variance, len(self.event_shape)).each(value)

    def among(self, counted: Tensor, known: Tensor) -> "ProfiledGaussian":
        """The one whose variance is that of the counted values alone, and of none of the `known` ones."""
        return ProfiledGaussian(self.loc, self.follow, len(self.event_shape), counted)


class StandardGaussian(Gaussian):
    """The Gaussian N(0, I) with batch shape (), a class of its own for its shorter divergence.

    zeros: (latent,).

    >>> StandardGaussian(torch.zeros(2)).entropy()  # 1 + log 2 pi
    tensor(2.8379)
    """

    def __init__(self, zeros: Tensor) -> None:
        super().__init__(zeros, zeros)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square().sum(-1) + value.shape[-1] * LOG_2PI)


def bounded(log_variance: Tensor) -> Tensor:
    """The logarithm of a variance, wide enough for any useful Gaussian and narrow enough that its exponential
    stays finite in float32: within [-30, 20].

    >>> bounded(torch.tensor([1.0, 100.0]))
    tensor([ 1., 20.])
    """
    return F.hardtanh(log_variance, -30.0, 20.0)  # a clamp, whose gradient is one kernel rather than five


@register_kl(Gaussian, StandardGaussian)
def _kl_to_standard(q: Gaussian, p: StandardGaussian) -> Tensor:
    return 0.5 * twice_to_standard(q).sum(-1)


def twice_to_standard(q: Gaussian) -> Tensor:
    """Twice KL(q || N(0, I)) of each dimension, in nats.

    >>> twice_to_standard(Gaussian(torch.tensor([0.0, 2.0]), torch.zeros(2)))
    tensor([0., 4.])
    """
    return torch.expm1(q.log_variance) + q.loc * q.loc - q.log_variance


@register_kl(Gaussian, Gaussian)
def _kl_gaussians(q: Gaussian, p: Gaussian) -> Tensor:
    log_ratio = q.log_variance - p.log_variance
    square = (q.loc - p.loc).square() * (-p.log_variance).exp()
    return 0.5 * sum_event(log_ratio.exp() + square - log_ratio - 1, len(q.event_shape))


@register_kl(MultivariateNormal, StandardGaussian)
@register_kl(LowRankMultivariateNormal, StandardGaussian)
def _kl_correlated_to_standard(q: Distribution, p: StandardGaussian) -> Tensor:
    # -entropy - E_q log p, where only the variances and the mean enter the second.
    return -q.entropy() + 0.5 * (q.variance + q.mean.square() + LOG_2PI).sum(-1)
