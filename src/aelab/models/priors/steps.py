"""The prior of codes that are sequences of steps."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, Steps, bounded
from aelab.models.networks.causal import Causal
from aelab.models.priors.base import Encodes, Prior


class GaussianSteps(Prior):
    """Each step of a code given those before it, as in a variational recurrent network (Chung et al. 2015,
    https://arxiv.org/abs/1506.02216). Begins as N(0, I).

    Steps are the places of a map, or the numbers of a vector. network: (width,) -> what reads the steps
    before, to which the context is added.
    """

    zero: Tensor

    def __init__(self, sizes: Sizes, network: Callable[..., Causal], width: int = 64) -> None:
        super().__init__()
        size, *places = sizes.layout if len(sizes.layout) > 1 else (1, sizes.latent)
        self.size, self.steps = size, math.prod(places)
        if size * self.steps != sizes.latent:
            raise ConfigurationError(
                f"prior=steps is of codes of {size} x {self.steps} numbers, and these have {sizes.latent}: "
                "choose another prior, as standard_normal"
            )
        self.read = nn.Linear(size, width)
        self.told = nn.Linear(sizes.context, width) if sizes.context else None
        self.network = network(width=width)
        self.output = nn.Linear(width, 2 * size)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> Steps:
        return Steps(self.moments, self.steps, self.size, self.zero, context)

    def moments(self, steps: Tensor, context: Tensor | None) -> Gaussian:
        """As of `Steps`."""
        before = F.pad(self.read(steps[:, :-1]), (0, 0, 1, 0))
        if self.told is not None and context is not None:
            before = before + self.told(context)[:, None]
        loc, log_variance = self.output(self.network(before)).float().chunk(2, -1)
        return Gaussian(loc, bounded(log_variance), 2)
