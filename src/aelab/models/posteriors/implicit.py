"""A posterior of draws alone."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Pushforward
from aelab.models.networks.mlp import hidden_layers
from aelab.models.posteriors.base import Features, Posterior, vector


class Implicit(Posterior):
    """z = f(h, e) with a network f and noise e ~ N(0, I): it can be drawn from, and has no density (AVB,
    Mescheder, Nowozin and Geiger 2017, https://arxiv.org/abs/1701.04722).

    noise: numbers in e. widths: of the hidden layers of f.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        noise: int = 32,
        widths: Sequence[int] = (128,),
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__((sizes.latent,))
        if noise < 1:
            raise ConfigurationError(
                f"model.posterior.noise={noise}: at least 1, or choose posterior=deterministic"
            )
        self.noise = noise
        known = vector(features, "implicit") + noise
        self.layers = hidden_layers(known, widths, activation)
        self.output = nn.Linear(widths[-1] if widths else known, sizes.latent)

    def forward(self, h: Tensor, step: int = 0) -> Pushforward:
        return Pushforward(
            h.new_zeros(len(h), self.noise).float(), partial(self.code, h.float()), self.latent
        )

    def code(self, h: Tensor, noise: Tensor) -> Tensor:
        """h (B, features), noise (S, B, noise) -> codes (S, B, latent)."""
        beside = torch.cat([h.expand(len(noise), *h.shape), noise], -1)
        return self.output(self.layers(beside)).float()
