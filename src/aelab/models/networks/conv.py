"""Convolutional networks for images of any size; a layer of stride 2 halves the sides, rounding up.

The context enters the encoder as constant planes and the decoder beside the code. A stage stands at each
resolution: a mere activation, or the residual blocks of resnet.py.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.activations import Activation, arity
from aelab.models.networks.mlp import join

Stage = Callable[[int, Activation], nn.Module]


def plain(channels: int, activation: Activation) -> nn.Module:
    """The stage of an ordinary convolutional network: its activation."""
    return activation()


def normalised(channels: int, activation: Activation) -> nn.Module:
    """A stage that normalises over the batch first (DCGAN, Radford, Metz and Chintala 2016,
    https://arxiv.org/abs/1511.06434)."""
    return nn.Sequential(nn.BatchNorm2d(arity(activation) * channels), activation())


def _strides(channels: Sequence[int], strides: Sequence[int] | None, kernel: int) -> Sequence[int]:
    """The stride of each layer: 2, unless they are given."""
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigurationError(f"network.kernel={kernel}: the kernel's side must be odd, as 3 or 5")
    strides = [2] * len(channels) if strides is None else strides
    if len(strides) != len(channels) or min(strides, default=1) < 1:
        raise ConfigurationError(
            f"network.strides={list(strides)}: each of the {len(channels)} layers of "
            f"channels={list(channels)} has a stride of 1 or more; null is 2 for all"
        )
    return strides


def with_planes(x: Tensor, context: Tensor | None) -> Tensor:
    """x (B, C, *sides) with the context (B, K) as K more constant planes; of vectors, as more numbers."""
    if context is None:
        return x
    sides = x.shape[2:]
    return torch.cat([x, context.view(*context.shape, *[1] * len(sides)).expand(-1, -1, *sides)], 1)


def _sides(shape: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """The image's sides before the first and after each of the layers."""
    if len(shape) != 3:
        raise ConfigurationError(
            f"a convolutional network reads images of shape (channels, height, width) and data.shape is "
            f"{list(shape)}: choose network=mlp"
        )
    sides = [(shape[1], shape[2])]
    for stride in strides:
        height, width = sides[-1]
        sides.append((-(-height // stride), -(-width // stride)))
    return sides


class ConvEncoder(nn.Module):
    """Convolutions and their stages. forward: x (B, C, H, W), context (B, K) or None -> (B, *features).

    flat: whether the features are a vector; else they are the last layer's map (n, h, w), and so is the code.
    """

    def __init__(
        self,
        sizes: Sizes,
        channels: Sequence[int],
        activation: Activation = nn.ReLU,
        stage: Stage = plain,
        kernel: int = 3,
        strides: Sequence[int] | None = None,
        flat: bool = True,
    ) -> None:
        super().__init__()
        strides = _strides(channels, strides, kernel)
        height, width = _sides(sizes.shape, strides)[-1]
        depths, n = [sizes.shape[0] + sizes.context, *channels], arity(activation)
        layers: list[nn.Module] = []
        for a, b, stride in zip(depths, channels, strides, strict=False):
            layers += [nn.Conv2d(a, n * b, kernel, stride, padding=kernel // 2), stage(b, activation)]
        self.layers = nn.Sequential(*layers)
        map_ = (depths[-1], height, width)
        self.flat, self.features = flat, math.prod(map_) if flat else map_

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        features = self.layers(with_planes(x, context))
        return features.flatten(1) if self.flat else features


class ConvDecoder(nn.Module):
    """The mirror of `ConvEncoder` of the same options. forward: z (B, latent), context -> (B, *shape).

    A code whose layout is a map (c, h, w) is projected at each of its places, and its sides must be those of
    the encoder's last layer.
    """

    def __init__(
        self,
        sizes: Sizes,
        channels: Sequence[int],
        activation: Activation = nn.ReLU,
        stage: Stage = plain,
        kernel: int = 3,
        strides: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        strides = _strides(channels, strides, kernel)
        sides = _sides(sizes.shape, strides)[::-1]
        depths = [*(arity(activation) * size for size in channels[::-1]), sizes.shape[0]]
        self.layout, self.start = sizes.layout, (depths[0], *sides[0])
        self.projection = self._projection(sizes)
        layers: list[nn.Module] = []
        mirrored = zip(channels[::-1], depths[1:], strides[::-1], sides, sides[1:], strict=False)
        for a, b, stride, small, large in mirrored:
            # At stride s a side of n came from s (n - 1) + 1 or up to s - 1 more: the padding says which.
            rest = (large[0] - stride * (small[0] - 1) - 1, large[1] - stride * (small[1] - 1) - 1)
            layers += [
                stage(a, activation),
                nn.ConvTranspose2d(a, b, kernel, stride, padding=kernel // 2, output_padding=rest),
            ]
        self.layers = nn.Sequential(*layers)

    def _projection(self, sizes: Sizes) -> nn.Module:
        if len(sizes.layout) != 3:
            return nn.Linear(sizes.latent + sizes.context, math.prod(self.start))
        if sizes.layout[1:] != self.start[1:]:
            raise ConfigurationError(
                f"codes are maps of {list(sizes.layout)} and the decoder begins with sides "
                f"{list(self.start[1:])}: give encoder and decoder the same strides"
            )
        return nn.Conv2d(sizes.layout[0] + sizes.context, self.start[0], 1)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        if len(self.layout) == 3:
            return self.layers(self.projection(with_planes(z.unflatten(-1, self.layout), context)))
        return self.layers(self.projection(join(z, context)).unflatten(-1, self.start))
