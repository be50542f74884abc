"""Codes whose steps are Gaussian, each given those before it."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints

from aelab.models.distributions.base import ONE, Shape
from aelab.models.distributions.gaussian import Gaussian

Moments = Callable[[Tensor, Tensor | None], Gaussian]


class Steps(Distribution):
    """p(z) = prod_t N(z_t; m_t, s_t^2), with the moments of a step read from those before it.

    moments: steps (N, T, D), context (N, C) or None -> the Gaussians of all of them, each of which depends on
    earlier steps alone. A flat code (T D,) has the T steps of its first number in front, then of its second.

    >>> alone = lambda steps, context: Gaussian(torch.zeros_like(steps), torch.zeros(()), 2)
    >>> Steps(alone, steps=3, size=2, like=torch.zeros(())).log_prob(torch.zeros(1, 6))  # -3 log 2 pi
    tensor([-5.5136])
    """

    has_rsample = True
    support = constraints.real
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, moments: Moments, steps: int, size: int, like: Tensor, context: Tensor | None = None
    ) -> None:
        self.moments, self.steps, self.size, self.like, self.context = moments, steps, size, like, context
        batch = Size() if context is None else context.shape[:1]
        super().__init__(batch, Size([steps * size]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        steps = value.unflatten(-1, (self.size, self.steps)).transpose(-1, -2)
        return self._given(steps).log_prob(steps.flatten(0, -3)).view(value.shape[:-1])

    def rsample(self, sample_shape: Shape = ONE) -> Tensor:
        noise = torch.randn(*sample_shape, *self.batch_shape, self.steps, self.size, device=self.like.device)
        steps, flat = torch.zeros_like(noise), noise.view(-1, self.steps, self.size)
        for place in range(self.steps):
            p = self._given(steps)
            drawn = (p.loc + flat * (0.5 * p.log_variance).exp()).view_as(noise)
            now = torch.arange(self.steps, device=noise.device)[:, None] == place
            steps = torch.where(now, drawn, steps)
        return steps.transpose(-1, -2).flatten(-2)

    def _given(self, steps: Tensor) -> Gaussian:
        flat = steps.reshape(-1, self.steps, self.size)
        if self.context is None:
            return self.moments(flat, None)
        return self.moments(flat, self.context.expand(*steps.shape[:-2], -1).reshape(len(flat), -1))
