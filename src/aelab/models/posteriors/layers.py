"""Posteriors of several stochastic layers; the priors that go with them are in priors/layers."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Chain, Gaussian, Joint
from aelab.models.networks.mlp import hidden_layers
from aelab.models.posteriors.base import Features, Posterior, vector
from aelab.models.posteriors.gaussian import DiagonalGaussian

Activation = Callable[[], nn.Module]


class Between(nn.Module):
    """One layer of codes given another: an MLP of `widths` and a Gaussian head. forward: (*, inputs) ->
    Gaussian over (*, outputs)."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int], activation: Activation) -> None:
        super().__init__()
        self.layers = hidden_layers(inputs, widths, activation)
        self.head = DiagonalGaussian(widths[-1] if widths else inputs, Sizes(latent=outputs))

    def forward(self, z: Tensor) -> Gaussian:
        return self.head(self.layers(z))


class BottomUp(Posterior):
    """q(z_1|h) q(z_2|z_1) ...: each layer read off a sample of the one below (Burda et al. 2016).

    sizes.latent: of z_1, which the decoder reads. upper: sizes of the layers above it.
    widths: of the network between two layers.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        upper: Sequence[int],
        widths: Sequence[int] = (100,),
        activation: Activation = nn.Tanh,
    ) -> None:
        self.sizes = layer_sizes(sizes.latent, upper)
        super().__init__((sizes.latent,), latent=sum(self.sizes))
        self.base = DiagonalGaussian(vector(features, "bottom_up"), sizes)
        self.between = nn.ModuleList(Between(a, b, widths, activation) for a, b in pairwise(self.sizes))

    def forward(self, h: Tensor, step: int = 0) -> Chain:
        return Chain(self.base(h), list(self.between), self.sizes, upwards=True)


class Ladder(Posterior):
    """What the features say of each layer, N(m_i, diag(s_i^2)), on a deterministic way up.

    The structure `aelab.models.ladder.Ladder` merges it with the prior's way down (Sonderby et al. 2016).

    sizes.latent: of z_1, which the decoder reads. upper: sizes of the layers above it.
    widths: of the network between two layers.
    """

    def __init__(
        self,
        features: Features,
        sizes: Sizes,
        upper: Sequence[int],
        widths: Sequence[int] = (100,),
        activation: Activation = nn.Tanh,
    ) -> None:
        self.sizes = layer_sizes(sizes.latent, upper)
        super().__init__((sizes.latent,), latent=sum(self.sizes))
        first = vector(features, "ladder")
        known = [first, *(widths[-1] if widths else first for _ in upper)]
        self.up = nn.ModuleList(hidden_layers(a, widths, activation) for a in known[:-1])
        self.heads = nn.ModuleList(
            DiagonalGaussian(a, Sizes(latent=size)) for a, size in zip(known, self.sizes, strict=True)
        )

    def forward(self, h: Tensor, step: int = 0) -> Joint:
        steps = [h]
        for layers in self.up:
            steps.append(layers(steps[-1]))
        pairs = zip(self.heads, steps, strict=True)
        return Joint({f"layer_{i}": head(known) for i, (head, known) in enumerate(pairs)})


def layer_sizes(latent: int, upper: Sequence[int]) -> list[int]:
    """The sizes of all layers from the data upwards; ConfigurationError for fewer than two."""
    if not upper or min(upper) < 1:
        raise ConfigurationError(
            f"model.posterior.upper={list(upper)}: name the sizes of one or more layers above the first"
        )
    return [latent, *upper]
