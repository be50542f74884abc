"""Distributions of counts: whole numbers from 0."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from aelab.models.distributions.base import ONE, Factorised, Shape


class Poisson(Factorised):
    """Independent Poisson variables over the last `event_dims` dimensions, by the logarithms of their means.

    >>> Poisson(torch.zeros(2)).log_prob(torch.zeros(2))
    tensor(-2.)
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, event_dims: int = 1) -> None:
        self.log_mean = log_mean
        super().__init__(log_mean, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean

    def each(self, value: Tensor) -> Tensor:
        return value * self.log_mean - self.mean - torch.lgamma(value + 1)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            return torch.poisson(self.mean.expand(*sample_shape, *self.log_mean.shape))


class NegativeBinomial(Factorised):
    """Independent Poisson variables whose means are gamma variables: of a mean m and the variance m + m² / θ.

    log_mean, log_theta: (*batch, *event). With growing θ it tends to `Poisson`.

    >>> p = NegativeBinomial(torch.zeros(1), torch.zeros(1))  # θ = 1: a geometric variable
    >>> p.log_prob(torch.zeros(1)).exp()
    tensor(0.5000)
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_theta: Tensor, event_dims: int = 1) -> None:
        self.log_mean, self.log_theta = log_mean, log_theta
        super().__init__(log_mean, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean + (2 * self.log_mean - self.log_theta).exp()

    def each(self, value: Tensor) -> Tensor:
        # In double precision, as for a large θ the difference of two large numbers is a small one.
        log_mean, log_theta, x = self.log_mean.double(), self.log_theta.double(), value.double()
        theta, either = log_theta.exp(), torch.logaddexp(log_mean, log_theta)
        combinations = torch.lgamma(x + theta) - torch.lgamma(theta) - torch.lgamma(x + 1)
        found = combinations + theta * (log_theta - either) + x * (log_mean - either)
        return found.to(self.log_mean.dtype)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            shape = (*sample_shape, *self.log_mean.shape)
            drawn = torch._standard_gamma(self.log_theta.exp().expand(shape).contiguous())
            return torch.poisson(drawn * (self.log_mean - self.log_theta).exp())


class ZeroInflated(Factorised):
    """Counts that are 0 with a probability of their own, and else as `base` has them.

    base: with a mean, and densities `each`. logits: of that probability, (*batch, *event).
    """

    support = constraints.nonnegative_integer

    def __init__(self, base: Poisson | NegativeBinomial, logits: Tensor) -> None:
        self.base, self.logits = base, logits
        super().__init__(logits, len(base.event_shape))

    @property
    def mean(self) -> Tensor:
        return self.base.mean * (-self.logits).sigmoid()

    @property
    def variance(self) -> Tensor:
        scattered = self.base.variance + self.logits.sigmoid() * self.base.mean.square()
        return scattered * (-self.logits).sigmoid()

    def each(self, value: Tensor) -> Tensor:
        counted = self.base.each(value) + F.logsigmoid(-self.logits)
        zero = torch.logaddexp(F.logsigmoid(self.logits), counted)
        return torch.where(value == 0, zero, counted)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            drawn = self.base.sample(sample_shape)
            return drawn * torch.bernoulli((-self.logits).sigmoid().expand(drawn.shape))
