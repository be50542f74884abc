"""A variational recurrent network: a code for each step of an observation, given all steps before."""

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models.base import Autoencoder
from aelab.models.distributions import Steps
from aelab.models.likelihoods import Ordered
from aelab.models.priors import GaussianSteps


class Recurrent(Autoencoder):
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
        if not fits or not isinstance(self.likelihood, Ordered) or not self._looks_back():
            raise ConfigurationError(
                "structure=recurrent needs prior=steps with model.prior.observed=true, likelihood=frames and "
                "network=gru_frames with model.decoder.bidirectional=false: choose variant=vrnn"
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
        like = next(self.parameters())
        x, z = like.new_zeros(count, *self.sizes.shape), like.new_zeros(1, count, self.latent)
        places = torch.arange(x.shape[-1], device=x.device)
        for place in range(len(places)):
            z = self._prior(context, x).drawn(z, place)
            x = self._step(z, context, x, (places == place).float())
        return x, z[0]

    def _step(self, z: Tensor, context: Tensor | None, x: Tensor, here: Tensor) -> Tensor:
        """Observations in which the step where `here` is 1 is drawn given those before it."""
        likelihood: Any = self.decode(z, context)
        drawn: Distribution = likelihood.among(here, x)
        return drawn.sample()[0]
