"""Distributions over pixels on [0, 1] or the real line, given a decoder's output."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from aelab.models.distributions.base import ONE, Factorised, Shape, sum_event
from aelab.models.distributions.gaussian import ProfiledGaussian
from aelab.models.distributions.ordered import Ordered


class Bernoulli(Factorised):
    """Independent Bernoulli variables over the last `event_dims` dimensions, given by their logits.

    For values strictly inside (0, 1) `log_prob` is the negative cross-entropy: a loss, not a probability.

    >>> Bernoulli(torch.zeros(4)).log_prob(torch.ones(4)) / math.log(2)  # four fair coins
    tensor(-4.)
    """

    support = constraints.boolean

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        super().__init__(logits, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(*sample_shape, *self.logits.shape))

    def each(self, value: Tensor) -> Tensor:
        return -self._cross_entropy(value)

    def log_prob(self, value: Tensor) -> Tensor:
        return -sum_event(self._cross_entropy(value), len(self.event_shape))

    def _cross_entropy(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.logits, value)
        return F.binary_cross_entropy_with_logits(logits, value, reduction="none")


class ContinuousBernoulli(Factorised):
    """Independent variables on [0, 1], densities proportional to exp(logit x), over `event_dims` dimensions
    (Loaiza-Ganem and Cunningham 2019, https://arxiv.org/abs/1907.06845).

    torch's own clamps its probabilities, and so is off where pixels saturate: beyond logits of 16.

    >>> ContinuousBernoulli(torch.zeros(4)).log_prob(torch.rand(4))  # the uniform density
    tensor(0.)
    """

    support = constraints.unit_interval

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        super().__init__(logits, event_dims)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where the closed forms lose precision, the logits, and the same kept away from 0."""
        near = self.logits.abs() < 0.05
        return near, self.logits, self.logits.where(~near, torch.ones_like(self.logits))

    @property
    def mean(self) -> Tensor:
        near, logits, safe = self._parts()
        return torch.where(near, 0.5 + logits / 12 - logits.pow(3) / 720, -1 / torch.expm1(-safe) - 1 / safe)

    @property
    def variance(self) -> Tensor:
        near, logits, safe = self._parts()
        far = 1 / safe.square() - 1 / (4 * torch.sinh(safe / 2).square())
        return torch.where(near, 1 / 12 - logits.square() / 240, far)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            _, _, safe = self._parts()
            u = torch.rand(*sample_shape, *safe.shape, device=safe.device)
            below = torch.log1p(u * torch.expm1(-safe.abs())) / -safe.abs()
            return torch.where(self.logits.abs() < 0.05, u, torch.where(safe > 0, 1 - below, below))

    def each(self, value: Tensor) -> Tensor:
        near, logits, safe = self._parts()
        size = safe.abs()
        far = safe.clamp_min(0) + torch.log(-torch.expm1(-size)) - size.log()
        normaliser = torch.where(near, logits / 2 + logits.square() / 24 - logits.pow(4) / 2880, far)
        return value * logits - normaliser


class LogCosh(Factorised):
    """Densities proportional to cosh(a (x - loc) / scale)^(-1/a): the log-cosh loss as a likelihood,
    quadratic near its centre and linear far from it (Chen, Chen and Wang 2018,
    https://openreview.net/forum?id=rkglvsC9Ym).

    loc: (*batch, *event). log_scale: broadcastable to `loc`. sharpness: a.

    >>> LogCosh(torch.zeros(1), torch.zeros(1), sharpness=1.0).log_prob(torch.zeros(1))  # -log pi
    tensor(-1.1447)
    """

    support = constraints.real

    def __init__(self, loc: Tensor, log_scale: Tensor, sharpness: float, event_dims: int = 1) -> None:
        self.loc, self.log_scale, self.sharpness = loc, log_scale, sharpness
        super().__init__(loc, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.loc

    def each(self, value: Tensor) -> Tensor:
        a = self.sharpness
        size = (a * (value - self.loc) * (-self.log_scale).exp()).abs()
        log_cosh = size + F.softplus(-2 * size) - math.log(2)  # cosh itself overflows
        log_norm = 0.5 * math.log(math.pi) + math.lgamma(0.5 / a) - math.lgamma(0.5 / a + 0.5) - math.log(a)
        return -log_cosh / a - self.log_scale - log_norm

    @property
    def variance(self) -> Tensor:
        trigamma = torch.polygamma(1, torch.tensor(0.5 / self.sharpness)).to(self.loc.device)
        spread = 0.5 * trigamma / self.sharpness**2 * (2 * self.log_scale).exp()
        return spread.expand(self.loc.shape)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        # cosh(t)^(-1/a) is the density of half the difference of two log-gamma variables of this shape; that
        # of 1 more, and a power of a uniform one, keep the logarithms of tiny ones finite.
        with torch.no_grad():
            size = (2, *sample_shape, *self.loc.shape)
            shape = torch.full(size, 0.5 / self.sharpness, device=self.loc.device)
            logs = torch._standard_gamma(shape + 1).log() - torch.empty_like(shape).exponential_() / shape
            return self.loc + 0.5 * (logs[0] - logs[1]) / self.sharpness * self.log_scale.exp()


class Masked(Distribution):
    """The distribution p(x|z) of the hidden pixels alone: the others are known and have no density.

    base: over (C, H, W), with a density of `each` value. hidden: (1, H, W), 1 where a pixel is predicted.
    known: (B, C, H, W), whose pixels stand for those that are not hidden.

    >>> coins, left = Bernoulli(torch.zeros(1, 1, 2, 2), 3), torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    >>> Masked(coins, left, torch.zeros(1, 1, 2, 2)).log_prob(torch.ones(1, 1, 2, 2)) / math.log(2)
    tensor([-2.])
    """

    def __init__(self, base: Distribution, hidden: Tensor, known: Tensor) -> None:
        # Visible pixels are no part of the density, and so not of the variance under which it is highest; and
        # those that follow them read them.
        self.base = base.among(hidden, known) if isinstance(base, ProfiledGaussian | Ordered) else base
        self.hidden, self.known = hidden, known
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint | None:
        return self.base.support

    @property
    def mean(self) -> Tensor:
        return torch.lerp(self.known.expand(self.base.mean.shape), self.base.mean, self.hidden)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        drawn = self.base.sample(sample_shape)
        return torch.lerp(self.known.expand(drawn.shape), drawn, self.hidden)

    @property
    def described(self) -> int:
        """How many values of an observation have a density."""
        return int(self.hidden.sum()) * self.event_shape.numel() // self.hidden.numel()

    def each(self, value: Tensor) -> Tensor:
        """The log-density of each value, in nats, 0 where it is known: (*batch, *event)."""
        each: Callable[[Tensor], Tensor] = self.base.each  # type: ignore[attr-defined]
        return each(value) * self.hidden

    def log_prob(self, value: Tensor) -> Tensor:
        return sum_event(self.each(value), len(self.event_shape))
