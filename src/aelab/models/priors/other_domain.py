"""Observations of another domain, of which codes are to be such."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.priors.base import Encodes, Prior
from aelab.models.priors.kernels import Kernels
from aelab.models.priors.mixtures import check_components


class OtherDomain(Prior):
    """Training observations, each changed once and kept with the weights, as codes that are equally likely:
    the second domain of a translation whose pairs nobody tells, though each has one here (Zhu et al. 2017,
    https://arxiv.org/abs/1703.10593). It is of codes as large as an observation.

    change: (N, *shape) -> the same shape. components: how many, or all where there are fewer. scale: of the
    Gaussian around each.
    """

    observations: Tensor
    known: Tensor

    def __init__(
        self, sizes: Sizes, change: Callable[[Tensor], Tensor], components: int = 2000, scale: float = 0.01
    ) -> None:
        super().__init__()
        if sizes.latent != math.prod(sizes.shape):
            raise ConfigurationError(
                f"prior=other_domain has codes of {math.prod(sizes.shape)} numbers, as many as an "
                f"observation, and the model's have {sizes.latent}: choose variant=cycle_gan and leave "
                "latent out"
            )
        if not scale > 0:
            raise ConfigurationError(f"model.prior.scale={scale}: the scale must be above 0")
        self.examples, self.change = check_components("components", components), change
        self.register_buffer("observations", torch.zeros(components, sizes.latent))
        self.register_buffer("known", torch.tensor(components))
        self.log_variance = 2 * math.log(scale)

    def initialise(self, x: Tensor) -> None:
        x = x[: self.examples]
        self.known.fill_(len(x))
        self.observations[: len(x)] = self.change(x).flatten(1)

    def forward(self, context: Tensor | None, model: Encodes) -> Kernels:
        known = self.observations[: int(self.known)]
        return Kernels(known, torch.full_like(known[0], self.log_variance))
