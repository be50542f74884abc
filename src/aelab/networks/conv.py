"""Convolutional networks for images of any size; each layer halves the sides, rounding up.

The context enters the encoder as constant planes and the decoder beside the code.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aelab.errors import ConfigurationError
from aelab.networks.mlp import join

Activation = Callable[[], nn.Module]


def _sides(shape: Sequence[int], layers: int) -> list[tuple[int, int]]:
    """The image's sides before the first and after each of the layers."""
    if len(shape) != 3:
        raise ConfigurationError(
            f"network=conv reads images of shape (channels, height, width) and data.shape is {list(shape)}: "
            "choose network=mlp"
        )
    height, width = shape[1:]
    return [(-(-height // 2**i), -(-width // 2**i)) for i in range(layers + 1)]


class ConvEncoder(nn.Module):
    """3x3 convolutions of stride 2. forward: x (B, C, H, W), context (B, K) or None -> (B, features)."""

    def __init__(
        self,
        shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = nn.ReLU,
        context: int = 0,
    ) -> None:
        super().__init__()
        height, width = _sides(shape, len(channels))[-1]
        sizes = [shape[0] + context, *channels]
        layers = [
            [nn.Conv2d(a, b, 3, stride=2, padding=1), activation()]
            for a, b in zip(sizes, channels, strict=False)
        ]
        self.layers = nn.Sequential(*(module for layer in layers for module in layer))
        self.features = sizes[-1] * height * width

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if context is not None:
            planes = context[:, :, None, None].expand(-1, -1, *x.shape[2:])
            x = torch.cat([x, planes], 1)
        return self.layers(x).flatten(1)


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder` of the same `channels`. forward: z (B, latent), context -> (B, *shape)."""

    def __init__(
        self,
        latent: int,
        shape: Sequence[int],
        channels: Sequence[int],
        activation: Activation = nn.ReLU,
        context: int = 0,
    ) -> None:
        super().__init__()
        sides = _sides(shape, len(channels))[::-1]
        sizes = [*channels[::-1], shape[0]]
        self.start = (sizes[0], *sides[0])
        self.projection = nn.Linear(latent + context, sizes[0] * sides[0][0] * sides[0][1])
        layers: list[nn.Module] = []
        for a, b, small, large in zip(sizes, sizes[1:], sides, sides[1:], strict=False):
            # A side of n came from 2n - 1 or from 2n: the padding says which.
            padding = (large[0] - 2 * small[0] + 1, large[1] - 2 * small[1] + 1)
            layers += [activation(), nn.ConvTranspose2d(a, b, 3, 2, padding=1, output_padding=padding)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(self.projection(join(z, context)).unflatten(-1, self.start))
