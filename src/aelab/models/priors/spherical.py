"""Priors of codes on the sphere."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aelab.models.distributions import SphereUniform
from aelab.models.priors.base import Encode, Prior


class UniformSphere(Prior):
    """Every direction alike (Davidson et al. 2018)."""

    zeros: Tensor

    def __init__(self, latent: int, context: int = 0, shape: Sequence[int] = ()) -> None:
        super().__init__()
        self.register_buffer("zeros", torch.zeros(latent), persistent=False)

    def forward(self, context: Tensor | None, encode: Encode) -> SphereUniform:
        return SphereUniform(self.zeros)
