"""The prior of codes that are sequences of steps."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, Steps
from aelab.models.networks.causal import Causal
from aelab.models.networks.frames import beside
from aelab.models.networks.steps import StepMoments
from aelab.models.priors.base import Encodes, Prior


class GaussianSteps(Prior):
    """Each step of a code given those before it. Begins as N(0, I).

    Steps are the places of a map, or the numbers of a vector. network: (width,) -> what reads the steps
    before, and the context. observed: whether it also reads the observation's own steps before, as in a
    variational recurrent network (Chung et al. 2015, https://arxiv.org/abs/1506.02216).
    """

    zero: Tensor

    def __init__(
        self, sizes: Sizes, network: Callable[..., Causal], width: int = 64, observed: bool = False
    ) -> None:
        super().__init__()
        size, *places = sizes.layout if len(sizes.layout) > 1 else (1, sizes.latent)
        self.size, self.steps, self.observed = size, math.prod(places), observed
        if size * self.steps != sizes.latent:
            raise ConfigurationError(
                f"prior=steps is of codes of {size} x {self.steps} numbers, and these have {sizes.latent}: "
                "choose another prior, as standard_normal"
            )
        if observed and sizes.shape[-1] != self.steps:
            raise ConfigurationError(
                f"model.prior.observed=true reads a step of the observation for each of the code's "
                f"{self.steps}, and data.shape is {list(sizes.shape)}: choose network=gru_frames, or false"
            )
        seen = math.prod(sizes.shape[:-1]) if observed else 0
        self.moments = StepMoments(size, sizes.context + seen, network, width)
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> Steps:
        if self.observed:
            raise InapplicableError(
                "each step of a code is given the observation's steps before it, and there is no prior of "
                "codes alone"
            )
        return self._of(None if context is None else context[:, None].expand(-1, self.steps, -1))

    def given(self, x: Tensor, context: Tensor | None) -> Steps:
        """p(z_t | z_<t, x_<t, c) of observations x (B, *sides, T), where they are `observed`."""
        return self._of(beside(F.pad(x.flatten(1, -2)[..., :-1], (1, 0)), context))

    def step(self, z: Tensor, x: Tensor, context: Tensor | None, state: Any) -> tuple[Gaussian, Any]:
        """The Gaussian of one more step over (1, size), given those before it, of codes z (N, 1, size) and
        observations x (N, D), 0 at first, and what is kept of them."""
        return self.moments.step(z, beside(x[..., None], context), state)

    def _of(self, told: Tensor | None) -> Steps:
        moments = self.moments.now(self.zero.device.type)
        return Steps(moments, self.steps, self.size, self.zero, told)
