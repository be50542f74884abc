"""Probabilities of grey levels: pixels on [0, 1] that stand for the integers 0 .. levels - 1."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, constraints

from aelab.models.distributions.base import ONE, Factorised, Shape


class LevelsBetween(constraints.Constraint):
    """Levels from one end to another: discrete as those of `integer_interval`, and no integers."""

    is_discrete = True

    def __init__(self, low: float, high: float) -> None:
        self.lower_bound, self.upper_bound = low, high
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        return (value >= self.lower_bound) & (value <= self.upper_bound)


SUPPORT = LevelsBetween(0, 1)


class Levels(Factorised):
    """A categorical distribution over the levels of each pixel. logits: (*batch, levels, *event).

    >>> Levels(torch.zeros(256, 3)).log_prob(torch.zeros(3)) / math.log(2)  # eight bits for each of three
    tensor(-24.)
    """

    support = SUPPORT

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.levels = logits.shape[-event_dims - 1]
        self.logits = logits.movedim(-event_dims - 1, -1).log_softmax(-1)
        super().__init__(self.logits[..., 0], event_dims)

    @property
    def mean(self) -> Tensor:
        grid = torch.linspace(0, 1, self.levels, device=self.logits.device)
        return (self.logits.exp() * grid).sum(-1)

    @property
    def variance(self) -> Tensor:
        grid = torch.linspace(0, 1, self.levels, device=self.logits.device)
        return (self.logits.exp() * (grid - self.mean[..., None]).square()).sum(-1)

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            drawn = torch.distributions.Categorical(logits=self.logits).sample(sample_shape)
            return drawn / (self.levels - 1)

    def each(self, value: Tensor) -> Tensor:
        level = (value * (self.levels - 1)).round().long()
        shape = torch.broadcast_shapes(level.shape, self.logits.shape[:-1])
        logits = self.logits.expand(*shape, self.levels)
        return logits.gather(-1, level.expand(shape)[..., None])[..., 0]


class BetaBinomial(Factorised):
    """The beta-binomial distribution: each pixel's level is binomial with a beta-distributed probability.

    log_alpha, log_beta: (*batch, *event), of the beta distribution.

    >>> flat = torch.zeros(3)
    >>> BetaBinomial(flat, flat, levels=256).log_prob(flat) / math.log(2)  # as many, as all are alike
    tensor(-24.)
    """

    support = SUPPORT

    def __init__(self, log_alpha: Tensor, log_beta: Tensor, levels: int, event_dims: int = 1) -> None:
        self.alpha, self.beta, self.levels = log_alpha.exp(), log_beta.exp(), levels
        super().__init__(log_alpha, event_dims)

    @property
    def mean(self) -> Tensor:
        return self.alpha / (self.alpha + self.beta)

    @property
    def variance(self) -> Tensor:
        n, whole = self.levels - 1, self.alpha + self.beta
        return self.mean * (self.beta / whole) * (whole + n) / (n * (whole + 1))

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            logs = [self._log_gamma(shape, sample_shape) for shape in (self.alpha, self.beta)]
            p = (logs[0] - logs[1]).sigmoid()
            return torch.binomial(torch.full_like(p, self.levels - 1), p) / (self.levels - 1)

    @staticmethod
    def _log_gamma(shape: Tensor, sample_shape: Shape) -> Tensor:
        """Logarithms of gamma variables, by those of `shape` + 1: small shapes underflow themselves."""
        shape = shape.expand(*sample_shape, *shape.shape)
        return torch._standard_gamma(shape + 1).log() - torch.empty_like(shape).exponential_() / shape

    def each(self, value: Tensor) -> Tensor:
        n = self.levels - 1
        # In double: log-gammas of large parameters cancel, and float32 would leave 0.05 nats of error.
        k, alpha, beta = (value.double() * n).round(), self.alpha.double(), self.beta.double()
        ways = math.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        nats = ways + _log_beta(k + alpha, n - k + beta) - _log_beta(alpha, beta)
        return nats.to(self.alpha.dtype)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)


class LogisticMixture(Distribution):
    """A mixture of logistic distributions, rounded to the levels of a pixel; channels follow one another
    within a component (Salimans, Karpathy, Chen and Kingma 2017, https://arxiv.org/abs/1701.05517).

    logits: (*batch, K, H, W). loc, log_scale: (*batch, K, C, H, W), in units where pixels span [-1, 1].
    coefficients: (*batch, K, C (C - 1) / 2, H, W), by which earlier channels shift the mean of later ones.

    >>> logits, loc, none = torch.zeros(2, 1, 1), torch.zeros(2, 1, 1, 1), torch.zeros(2, 0, 1, 1)
    >>> p = LogisticMixture(logits, loc, loc - 1, none, levels=4)
    >>> levels = torch.linspace(0, 1, 4).reshape(4, 1, 1, 1)
    >>> p.log_prob(levels).exp().sum()
    tensor(1.0000)
    """

    support = SUPPORT

    def __init__(
        self, logits: Tensor, loc: Tensor, log_scale: Tensor, coefficients: Tensor, levels: int
    ) -> None:
        self.logits = logits.log_softmax(-3)
        self.loc, self.log_scale = loc, log_scale.clamp(-7.0, 20.0)
        self.coefficients, self.levels = coefficients.tanh(), levels
        super().__init__(logits.shape[:-3], loc.shape[-3:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """Of the mixture before its tails are cut off, clipped to [0, 1]."""
        means = self._channels(lambda centre, _: centre)
        return ((self.logits.exp()[..., None, :, :] * means).sum(-4) * 0.5 + 0.5).clamp(0, 1)

    @property
    def variance(self) -> Tensor:
        """Of the mixture before its tails are cut off and channels follow one another."""
        weights, means = self.logits.exp()[..., None, :, :], self._channels(lambda centre, _: centre)
        spread = (2 * self.log_scale).exp() * (math.pi**2 / 3)
        middle = (weights * means).sum(-4, keepdim=True)
        return (weights * (spread + (means - middle).square())).sum(-4) / 4

    def each(self, value: Tensor) -> Tensor:
        """The log-probability of each pixel with all its channels, in nats: (*batch, 1, H, W)."""
        x = (2 * value - 1).unsqueeze(-4)
        centres = self._centres(list(x.unbind(-3)))
        half, inverse = 1 / (self.levels - 1), (-self.log_scale).exp()
        low, high = (x - centres - half) * inverse, (x - centres + half) * inverse
        # log(sigmoid(high) - sigmoid(low)) without cancellation, and whole tails at both ends.
        inside = F.logsigmoid(high) + F.logsigmoid(-low) + torch.log(-torch.expm1(-2 * half * inverse))
        nats = torch.where(x < half - 1, F.logsigmoid(high), inside)
        nats = torch.where(x > 1 - half, F.logsigmoid(-low), nats)
        return (nats.sum(-3) + self.logits).logsumexp(-3)[..., None, :, :]

    def log_prob(self, value: Tensor) -> Tensor:
        return self.each(value).sum((-1, -2, -3))

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            shape = (*sample_shape, *self.logits.shape)
            gumbel = -torch.empty(shape, device=self.loc.device).exponential_().log()
            chosen = F.one_hot((self.logits + gumbel).argmax(-3), shape[-3]).movedim(-1, -3)
            noise = torch.rand(*sample_shape, *self.loc.shape, device=self.loc.device).clamp(1e-5, 1 - 1e-5)
            spread = (noise.logit() * self.log_scale.exp()).unbind(-3)
            # Rounded at once: the density shifts the next channel's mean by the level itself.
            drawn = self._channels(lambda centre, channel: self._rounded(centre + spread[channel]))
            return (drawn * chosen[..., None, :, :]).sum(-4) * 0.5 + 0.5

    def _rounded(self, x: Tensor) -> Tensor:
        steps = 0.5 * (self.levels - 1)
        return ((x.clamp(-1, 1) + 1) * steps).round() / steps - 1

    def _channels(self, draw: Callable[[Tensor, int], Tensor]) -> Tensor:
        """Values (..., K, C, H, W), channel by channel: `draw` is given a channel's centre and its number."""
        values: list[Tensor] = []
        for channel in range(self.event_shape[0]):
            values.append(draw(self._centre(channel, values), channel))
        return torch.stack(values, -3)

    def _centres(self, values: list[Tensor]) -> Tensor:
        """The components' means (..., K, C, H, W), given the `values` of the channels before each."""
        channels = range(self.event_shape[0])
        each = [self._centre(channel, values[:channel]) for channel in channels]
        return torch.stack(torch.broadcast_tensors(*each), -3)

    def _centre(self, channel: int, before: list[Tensor]) -> Tensor:
        first = channel * (channel - 1) // 2
        shifts = [self.coefficients[..., first + i, :, :] * value for i, value in enumerate(before)]
        return sum(shifts, start=self.loc[..., channel, :, :])
