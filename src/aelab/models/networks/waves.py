"""Convolutional networks for waves, whose codes are of steps in time (SoundStream, Zeghidour et al. 2021,
https://arxiv.org/abs/2107.03312).

    x (1, T) ──▶ conv ──▶ [dilated residuals, strided conv] ... ──▶ (n, 1, steps) ──▶ codes (latent, 1, steps)
    (1, T) ◀── conv ◀── [dilated residuals, transposed conv] ... ◀── conv ◀──────────────────┘
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.activations import Activation
from aelab.models.networks.conv import with_planes

KERNEL = 7  # of the first and of the last layer


class Residual(nn.Module):
    """x + f(x), where f sees three samples, `dilation` apart. forward: x (B, n, T) -> (B, n, T)."""

    def __init__(self, channels: int, dilation: int, activation: Activation) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            activation(),
            nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation),
            activation(),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.residual(x)


class WaveEncoder(nn.Module):
    """forward: x (B, 1, T), context (B, K) or None -> (B, n, 1, T / steps), a map of one row.

    channels: after each of the strides, whose product are the samples of a step. dilations: of the residual
    layers before each of them. The context is a constant in K further channels.
    """

    def __init__(
        self,
        sizes: Sizes,
        channels: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int] = (1, 3),
        activation: Activation = nn.ELU,
    ) -> None:
        super().__init__()
        steps = steps_of(sizes.shape, channels, strides)
        first = nn.Conv1d(sizes.shape[0] + sizes.context, channels[0], KERNEL, padding=KERNEL // 2)
        layers: list[nn.Module] = [first]
        for a, b, stride in zip([channels[0], *channels], channels, strides, strict=False):
            layers += [Residual(a, dilation, activation) for dilation in dilations]
            layers += [activation(), nn.Conv1d(a, b, 2 * stride, stride, padding=-(-stride // 2))]
        self.layers = nn.Sequential(*layers, activation())
        self.steps, self.features = steps, (channels[-1], 1, steps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(with_planes(x, context))[..., : self.steps].unsqueeze(2)


class WaveDecoder(nn.Module):
    """The mirror of `WaveEncoder` of the same options. forward: z (B, latent), context -> (B, *shape)."""

    def __init__(
        self,
        sizes: Sizes,
        channels: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int] = (1, 3),
        activation: Activation = nn.ELU,
    ) -> None:
        super().__init__()
        steps = steps_of(sizes.shape, channels, strides)
        if sizes.layout[1:] != (1, steps):
            raise ConfigurationError(
                f"codes are {list(sizes.layout)} and the decoder begins with {steps} steps: choose "
                "network=conv_1d for the encoder too, and a posterior of maps"
            )
        self.layout, self.length = sizes.layout, sizes.shape[-1]
        layers: list[nn.Module] = [nn.Conv1d(sizes.layout[0] + sizes.context, channels[-1], 3, padding=1)]
        sides = zip(channels[::-1], [*channels[-2::-1], channels[0]], strides[::-1], strict=True)
        for a, b, stride in sides:
            layers += [activation(), nn.ConvTranspose1d(a, b, 2 * stride, stride, padding=stride // 2)]
            layers += [Residual(b, dilation, activation) for dilation in dilations]
        last = nn.Conv1d(channels[0], sizes.shape[0], KERNEL, padding=KERNEL // 2)
        self.layers = nn.Sequential(*layers, activation(), last)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(with_planes(z.unflatten(-1, self.layout).squeeze(2), context))[..., : self.length]


def steps_of(shape: Sequence[int], channels: Sequence[int], strides: Sequence[int]) -> int:
    """How many steps a wave (C, T) has; ConfigurationError for other observations, lengths and options."""
    if len(shape) != 2:
        raise ConfigurationError(
            f"network=conv_1d reads waves, (1, samples), and data.shape is {list(shape)}: choose "
            "view=waveform, or another network"
        )
    if not channels or len(channels) != len(strides) or min(strides) < 1:
        raise ConfigurationError(
            f"network.channels={list(channels)}, network.strides={list(strides)}: each has a stride of at "
            "least 1"
        )
    size = math.prod(strides)
    if shape[1] % size:
        raise ConfigurationError(
            f"a sound has {shape[1]} samples, which {size}, the product of network.strides, does not divide: "
            f"choose data.kind.view.seconds so that there are {max(size, shape[1] // size * size)}"
        )
    return shape[1] // size
