"""Priors of codes on the sphere."""

import torch
from torch import Tensor

from aelab.core.records import Sizes
from aelab.models.distributions import SphereUniform
from aelab.models.priors.base import Encodes, Prior


class UniformSphere(Prior):
    """Every direction alike (Davidson et al. 2018)."""

    zeros: Tensor

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(sizes.latent), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> SphereUniform:
        return SphereUniform(self.zeros)
