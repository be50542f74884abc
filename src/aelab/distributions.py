"""Probability distributions that autoencoders are made of, and the divergence between two of them.

The common ones are written here rather than taken from `torch.distributions` because their fused
log-densities and closed forms save a tenth of a small training step; torch's own are the reference in the
tests, and any torch or zuko distribution fits the same slots. Densities are in nats, summed over events.
"""

import math
from functools import singledispatch
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

LOG_2PI = math.log(2 * math.pi)
ONE = Size()  # the shape of a single sample
Shape = Size | list[int] | tuple[int, ...]


class PointMass(Distribution):
    """A deterministic code: all mass at one point, so it has samples and a mean but no density.

    value: (B, *event); every dimension but the first is an event.
    """

    has_rsample = True
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:1], value.shape[1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        return self.value.expand(*sample_shape, *self.value.shape)


class Gaussian(Distribution):
    """A Gaussian with diagonal covariance over the last `event_dims` dimensions.

    loc: (*batch, *event), the mean.
    log_variance: broadcastable to `loc`, in nats.
    """

    has_rsample = True
    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, loc: Tensor, log_variance: Tensor, event_dims: int = 1) -> None:
        self.loc, self.log_variance = loc, log_variance
        split = loc.dim() - event_dims
        super().__init__(loc.shape[:split], loc.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self.log_variance.exp().expand(self.loc.shape)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        noise = torch.randn(*sample_shape, *self.loc.shape, device=self.loc.device, dtype=self.loc.dtype)
        return self.loc + noise * (0.5 * self.log_variance).exp()

    def log_prob(self, value: Tensor) -> Tensor:
        square = (value - self.loc).square() * (-self.log_variance).exp()
        return -0.5 * _sum_event(square + self.log_variance + LOG_2PI, len(self.event_shape))

    def entropy(self) -> Tensor:
        nats = (0.5 * (self.log_variance + LOG_2PI + 1)).expand(self.loc.shape)
        return _sum_event(nats, len(self.event_shape))


class StandardGaussian(Gaussian):
    """N(0, I) with batch shape (); a class of its own for its shorter divergence. zeros: (latent,)."""

    def __init__(self, zeros: Tensor) -> None:
        super().__init__(zeros, zeros)

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * (value.square().sum(-1) + value.shape[-1] * LOG_2PI)


class Bernoulli(Distribution):
    """Independent Bernoulli variables over the last `event_dims` dimensions, given by their logits.

    For values strictly inside (0, 1) `log_prob` is the negative cross-entropy: a loss, not a probability.
    """

    support = constraints.boolean
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.logits.sigmoid()

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.mean)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            return torch.bernoulli(self.mean.expand(*sample_shape, *self.logits.shape))

    def log_prob(self, value: Tensor) -> Tensor:
        logits, value = torch.broadcast_tensors(self.logits, value)
        nats = F.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return -_sum_event(nats, len(self.event_shape))


class ContinuousBernoulli(Distribution):
    """Independent variables on [0, 1], densities proportional to exp(logit x), over `event_dims` dimensions
    (Loaiza-Ganem and Cunningham 2019).

    torch's own clamps its probabilities, and so is off where pixels saturate: beyond logits of 16.
    """

    support = constraints.unit_interval
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:], validate_args=False)

    def _parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """Where the closed forms lose precision, the logits, and the same kept away from 0."""
        near = self.logits.abs() < 0.05
        return near, self.logits, self.logits.where(~near, torch.ones_like(self.logits))

    @property
    def mean(self) -> Tensor:
        near, logits, safe = self._parts()
        return torch.where(near, 0.5 + logits / 12 - logits.pow(3) / 720, -1 / torch.expm1(-safe) - 1 / safe)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            _, _, safe = self._parts()
            u = torch.rand(*sample_shape, *safe.shape, device=safe.device)
            below = torch.log1p(u * torch.expm1(-safe.abs())) / -safe.abs()
            return torch.where(self.logits.abs() < 0.05, u, torch.where(safe > 0, 1 - below, below))

    def log_prob(self, value: Tensor) -> Tensor:
        near, logits, safe = self._parts()
        size = safe.abs()
        far = safe.clamp_min(0) + torch.log(-torch.expm1(-size)) - size.log()
        normaliser = torch.where(near, logits / 2 + logits.square() / 24 - logits.pow(4) / 2880, far)
        return _sum_event(value * logits - normaliser, len(self.event_shape))


def bounded(log_variance: Tensor) -> Tensor:
    """Wide enough for any useful Gaussian, narrow enough that its exponential stays finite in float32."""
    return F.hardtanh(log_variance, -30.0, 20.0)  # a clamp, whose gradient is one kernel rather than five


def _sum_event(values: Tensor, dims: int) -> Tensor:
    return values.flatten(-dims).sum(-1) if dims > 1 else values.sum(-1)


@register_kl(Gaussian, StandardGaussian)
def _kl_to_standard(q: Gaussian, p: StandardGaussian) -> Tensor:
    return 0.5 * _twice_to_standard(q).sum(-1)


def _twice_to_standard(q: Gaussian) -> Tensor:
    return torch.expm1(q.log_variance) + q.loc * q.loc - q.log_variance


@register_kl(Gaussian, Gaussian)
def _kl_gaussians(q: Gaussian, p: Gaussian) -> Tensor:
    log_ratio = q.log_variance - p.log_variance
    square = (q.loc - p.loc).square() * (-p.log_variance).exp()
    return 0.5 * _sum_event(log_ratio.exp() + square - log_ratio - 1, len(q.event_shape))


@singledispatch
def distortion(likelihood: Distribution, x: Tensor) -> Tensor:
    """-log p(x) in nats, averaged over the batch: a scalar."""
    return -likelihood.log_prob(x).mean()


@distortion.register
def _(likelihood: Bernoulli, x: Tensor) -> Tensor:
    """In one reduction, as this is the hot path of most trainings."""
    nats = F.binary_cross_entropy_with_logits(
        likelihood.logits, x.expand(likelihood.logits.shape), reduction="sum"
    )
    return nats / likelihood.batch_shape.numel()


def has_density(distribution: Distribution | None) -> bool:
    """Whether likelihood bounds are defined with this distribution as posterior or prior."""
    return distribution is not None and not isinstance(distribution, PointMass)


def divergence(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q || p) in nats, shape (B,): the closed form where one is known, else its Monte-Carlo estimate.

    z: (S, B, *latent), samples of q, used by the estimate alone.
    """
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return (q.log_prob(z) - p.log_prob(z)).mean(0)


def rate(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """`divergence(q, p, z)` averaged over the batch: a scalar."""
    if type(q) is Gaussian and type(p) is StandardGaussian:  # in one reduction, like `distortion`
        return _twice_to_standard(q).sum() / (2 * q.batch_shape.numel())
    return divergence(q, p, z).mean()
