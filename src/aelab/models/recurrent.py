"""A variational recurrent network: a code for each step of an observation, given all steps before."""

import math
from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models.base import Autoencoder
from aelab.models.conditions import sees_observation
from aelab.models.distributions import Steps
from aelab.models.likelihoods import Ordered
from aelab.models.priors import GaussianSteps


class VariationalRecurrent(Autoencoder):
    """The model of observations (*sides, T) whose every step has a code of its own (Chung et al. 2015,
    https://arxiv.org/abs/1506.02216): p(x, z) = prod_t p(z_t | z_<t, x_<t) p(x_t | z_<=t, x_<t).

        z_<t ─┬─▶ prior ──▶ z_t ─┬─▶ decoder ──▶ likelihood ──▶ x_t ──▶ ...
        x_<t ─┘           z_<t ──┘     x_<t ───────┘

    The prior is a prior given x, that of `trace`; samples are drawn step by step from both.
    """

    tells_prior = True

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        fits = isinstance(self.prior, GaussianSteps) and self.prior.observed
        walks = isinstance(self.likelihood, Ordered) and hasattr(self.decoder, "step")
        if not fits or not walks or not self._looks_back():
            raise ConfigurationError(
                "structure=recurrent needs prior=steps with model.prior.observed=true, likelihood=frames and "
                "network=gru_frames with model.decoder.bidirectional=false: choose variant=vrnn"
            )
        if sees_observation(self.conditioner):
            raise ConfigurationError(
                "structure=recurrent draws every step, and condition=image shows a part of them: choose "
                "condition=none or label"
            )

    @torch.no_grad()
    def _looks_back(self) -> bool:
        """Whether what the decoder tells a step is of no later code."""
        assert isinstance(self.prior, GaussianSteps)
        z = torch.zeros(2, self.prior.size, self.prior.steps)
        z[1, :, -1] = 1
        context = None if self.conditioner is None else torch.zeros(2, self.conditioner.features)
        told = self.decoder(z.flatten(1), context)[..., :-1]
        return torch.equal(told[0], told[1])

    def _prior(self, context: Tensor | None, x: Tensor) -> Steps:
        assert isinstance(self.prior, GaussianSteps)
        return self.prior.given(x, context)

    def sample(self, count: int, given: Batch | None = None) -> Tensor:
        return self.draw(count, self._told(count, given))[0]

    @torch.no_grad()
    def draw(self, count: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Observations (count, *event) and their codes (count, latent), of the joint density."""
        slots: Any = self  # of the kinds that were asked for above
        x = slots.prior.zero.new_zeros(count, math.prod(self.sizes.shape[:-1]))
        z = slots.prior.zero.new_zeros(count, 1, slots.prior.size)
        drawn, codes, of_z, of_told, of_x = [], [], None, None, None
        for place in range(slots.prior.steps):
            p, of_z = slots.prior.step(z, x, context, of_z)
            z = p.sample()
            told, of_told = slots.decoder.step(z.mT, context, of_told)
            x, of_x = slots.likelihood.step(told, x if place else None, lambda p: p.sample(), of_x)
            drawn.append(x)
            codes.append(z)
        return torch.stack(drawn, -1).view(count, *self.sizes.shape), torch.cat(codes, 1).mT.flatten(1)
