"""Residual stages: with them, the networks of conv.py are residual networks."""

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.models.networks.activations import Activation, arity


def _normalisation(channels: int, groups: int | None) -> nn.Module:
    if groups is None:
        return nn.Identity()
    # A group of one channel would lose the image where its sides are 1.
    if groups < 1 or channels % groups or channels == groups:
        raise ConfigurationError(
            f"network.stage.groups={groups}: a group has two or more of the {channels} channels, all "
            "as many: choose such a divisor of each of network.channels, or null for no normalisation"
        )
    return nn.GroupNorm(groups, channels)


class ResidualBlock(nn.Module):
    """x + f(x), where f is twice normalisation, activation and 3x3 convolution (He et al. 2016).

    The normalisation is over groups of channels of one image, so that a batch may be of one (Wu and He 2018).
    forward: x (B, n, H, W) -> (B, n, H, W), with n `channels`, or twice as many if the activation is a gate.
    """

    def __init__(self, channels: int, activation: Activation = nn.ReLU, groups: int | None = None) -> None:
        super().__init__()
        size = arity(activation) * channels
        layers = [
            [_normalisation(size, groups), activation(), nn.Conv2d(channels, size, 3, padding=1)]
            for _ in range(2)
        ]
        self.residual = nn.Sequential(*(module for layer in layers for module in layer))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


def residual(
    channels: int, activation: Activation, blocks: int = 2, groups: int | None = None
) -> nn.Sequential:
    """A stage of blocks and, as each of these ends in a sum, one more normalisation and activation.

    On images (B, n, H, W) as a block takes them -> (B, channels, H, W).
    Raises ConfigurationError without blocks, and where the groups do not divide the channels.
    """
    if blocks < 1:
        raise ConfigurationError(
            f"network.stage.blocks={blocks}: a residual stage has a block; choose network=conv for none"
        )
    return nn.Sequential(
        *(ResidualBlock(channels, activation, groups) for _ in range(blocks)),
        _normalisation(arity(activation) * channels, groups),
        activation(),
    )
