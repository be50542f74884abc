"""Codes whose steps are Gaussian, each given those before it."""

from typing import Any, ClassVar, Protocol

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, kl_divergence

from aelab.models.distributions.base import ONE, Shape
from aelab.models.distributions.gaussian import Gaussian


class Moments(Protocol):
    """The Gaussians of steps, over (T, D), each read from what stands before it and what it is told."""

    def __call__(self, before: Tensor, told: Tensor | None) -> Gaussian:
        """before: (N, T, D), for each step the one before it, 0 for the first. told: (N, T, W) or None."""
        ...

    def step(self, before: Tensor, told: Tensor | None, state: Any) -> tuple[Gaussian, Any]:
        """The same of one more step, T = 1, and what is kept of those before, None at first."""
        ...


class Steps(Distribution):
    """p(z) = prod_t N(z_t; m_t, s_t^2), with the moments of a step read from those before it.

    told: (B, T, W), what each step is told beside, or None, without which the batch shape is (). like: what
    tells the device. A flat code (T D,) has the T steps of its first number in front, then of its second.
    """

    has_rsample = True
    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, moments: Moments, steps: int, size: int, like: Tensor, told: Tensor | None = None
    ) -> None:
        self.moments, self.steps, self.size, self.like, self.told = moments, steps, size, like, told
        batch = Size() if told is None else told.shape[:1]
        super().__init__(batch, Size([steps * size]), validate_args=False)

    def along(self, value: Tensor) -> Gaussian:
        """The Gaussians of all steps along codes (..., latent), over (T, D)."""
        steps = self._unfolded(value)
        before = F.pad(steps, (0, 0, 1, 0))[..., :-1, :].reshape(-1, self.steps, self.size)
        found = self.moments(before, self._told(value.shape[:-1]))
        log_variance = found.log_variance.expand_as(found.loc)
        return Gaussian(found.loc.view(steps.shape), log_variance.reshape(steps.shape), 2)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.along(value).log_prob(self._unfolded(value))

    def rate(self, q: "Steps | Gaussian", z: Tensor) -> Tensor:
        """KL(q || self) in nats, (B,): in closed form for each step, averaged over the steps before it in
        codes z (S, B, latent) of q."""
        return kl_divergence(self._steps_of(q, z), self.along(z)).mean(0)

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        shape = (*sample_shape, *self.batch_shape, self.steps, self.size)
        return self._walked(torch.randn(shape, device=self.like.device))

    @property
    def mean(self) -> Tensor:
        """Of a walk: each step the mean given the means before it, and no expectation but for the first."""
        return self._walked(torch.zeros(*self.batch_shape, self.steps, self.size, device=self.like.device))

    def _walked(self, noise: Tensor) -> Tensor:
        """Codes by noise (..., T, D), which each step turns into its own."""
        flat, told = noise.reshape(-1, self.steps, self.size), self._told(noise.shape[:-2])
        last, state, found = torch.zeros_like(flat[:, :1]), None, []
        for place in range(self.steps):
            here = slice(place, place + 1)
            p, state = self.moments.step(last, None if told is None else told[:, here], state)
            last = p.loc + flat[:, here] * (0.5 * p.log_variance).exp()
            found.append(last)
        return self._folded(torch.cat(found, 1).view(noise.shape))

    def _steps_of(self, q: "Steps | Gaussian", z: Tensor) -> Gaussian:
        if isinstance(q, Steps):
            return q.along(z)
        return Gaussian(self._unfolded(q.loc), self._unfolded(q.log_variance.expand_as(q.loc)), 2)

    def _told(self, batch: Size) -> Tensor | None:
        """What is told, for flat codes of a batch shape: (N, T, W)."""
        if self.told is None:
            return None
        return self.told.expand(*batch, *self.told.shape[1:]).reshape(-1, *self.told.shape[1:])

    def _unfolded(self, value: Tensor) -> Tensor:
        return value.unflatten(-1, (self.size, self.steps)).transpose(-1, -2)

    def _folded(self, steps: Tensor) -> Tensor:
        return steps.transpose(-1, -2).flatten(-2)
