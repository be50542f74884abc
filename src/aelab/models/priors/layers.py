"""Priors of several stochastic layers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Chain, StandardGaussian
from aelab.models.posteriors.layers import Between, layer_sizes
from aelab.models.priors.base import Encodes, Prior


class TopDown(Prior):
    """N(0, I) for the top layer, and each layer below given the one above: p(z_L) ... p(z_1|z_2).

    sizes.latent: of all layers together. upper: sizes of the layers above the first, as the posterior's.
    widths: of the network between two layers.
    """

    zeros: Tensor

    def __init__(
        self,
        sizes: Sizes,
        upper: Sequence[int],
        widths: Sequence[int] = (100,),
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        latent = sizes.latent
        if latent <= sum(upper):
            raise ConfigurationError(
                f"prior=top_down of layers {list(upper)} above the first does not fit a code of {latent}: "
                "choose posterior=bottom_up or ladder with the same `upper`"
            )
        self.sizes = layer_sizes(latent - sum(upper), upper)
        downwards = pairwise(self.sizes[::-1])
        self.between = nn.ModuleList(Between(a, b, widths, activation) for a, b in downwards)
        self.register_buffer("zeros", torch.zeros(self.sizes[-1]), persistent=False)

    def forward(self, context: Tensor | None, model: Encodes) -> Chain:
        return Chain(StandardGaussian(self.zeros), list(self.between), self.sizes, upwards=False)
