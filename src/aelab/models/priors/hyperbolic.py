"""Priors of codes in hyperbolic space."""

import math

import torch
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import WrappedNormal
from aelab.models.priors.base import Encodes, Prior


class WrappedStandardNormal(Prior):
    """A wrapped normal distribution around the origin of the Poincaré ball (Mathieu et al. 2019).

    scale: its standard deviation in hyperbolic distance; the larger, the more of the curvature is seen.
    """

    loc: Tensor
    log_variance: Tensor

    def __init__(self, sizes: Sizes, scale: float = 1.0) -> None:
        super().__init__()
        if not scale > 0:
            raise ConfigurationError(f"model.prior.scale={scale}: choose a scale above 0")
        self.register_buffer("loc", torch.zeros(sizes.latent), persistent=False)
        log_variance = torch.full((sizes.latent,), 2 * math.log(scale))
        self.register_buffer("log_variance", log_variance, persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> WrappedNormal:
        return WrappedNormal(self.loc, self.log_variance)
