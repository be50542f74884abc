"""Recurrent networks over the frames of a spectrum, whose codes are of frames."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes


class FramesEncoder(nn.Module):
    """The states of recurrent networks that read the frames forwards and, where `bidirectional`, backwards.
    forward: x (B, C, parts, frames), context (B, K) or None -> (B, features, 1, frames), a map of one row.

    cell: torch's GRU or LSTM.
    """

    def __init__(
        self,
        sizes: Sizes,
        width: int = 128,
        cell: Callable[..., nn.Module] = nn.GRU,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        parts, frames = frames_of(sizes.shape)
        self.layers = cell(parts + sizes.context, width, batch_first=True, bidirectional=bidirectional)
        self.features = ((1 + bidirectional) * width, 1, frames)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return self.layers(beside(x.flatten(1, -2), context))[0].transpose(1, 2).unsqueeze(2)


class FramesDecoder(nn.Module):
    """Recurrent networks over the codes of the frames, forwards and, where `bidirectional`, backwards, and of
    each frame a linear map of their states. forward: z (B, latent), context (B, K) or None -> (B, *shape)."""

    def __init__(
        self,
        sizes: Sizes,
        width: int = 128,
        cell: Callable[..., nn.Module] = nn.GRU,
        bidirectional: bool = True,
    ) -> None:
        super().__init__()
        parts, frames = frames_of(sizes.shape)
        if sizes.layout[1:] != (1, frames):
            raise ConfigurationError(
                f"codes are {list(sizes.layout)} and the decoder reads one for each of {frames} frames: "
                "choose network=gru_frames for the encoder too, and a posterior of maps"
            )
        self.layout, self.shape = sizes.layout, sizes.shape
        size, ways = sizes.layout[0] + sizes.context, 2 if bidirectional else 1
        self.layers = cell(size, width, batch_first=True, bidirectional=bidirectional)
        self.output = nn.Linear(ways * width, parts)

    def forward(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self.step(z.unflatten(-1, self.layout)[:, :, 0], context, None)[0]

    def step(self, z: Tensor, context: Tensor | None, state: Any) -> tuple[Tensor, Any]:
        """The next frames of codes z (N, D, T), as of `forward`, where it looks back alone, and what is kept
        of those before, None at first."""
        states, state = self.layers(beside(z, context), state)
        return self.output(states).transpose(1, 2).unflatten(1, self.shape[:-1]), state


def beside(x: Tensor, context: Tensor | None) -> Tensor:
    """Frames (B, D, T) with the context (B, K) beside each: (B, T, D + K)."""
    frames = x.transpose(1, 2)
    return frames if context is None else torch.cat([frames, context[:, None].expand(-1, x.shape[2], -1)], -1)


def frames_of(shape: Sequence[int]) -> tuple[int, int]:
    """The numbers of a frame, and how many frames there are; ConfigurationError for what has none."""
    if len(shape) < 2:
        raise ConfigurationError(
            f"network=gru_frames reads spectra, (1, parts, frames), and data.shape is {list(shape)}: choose "
            "network=mlp"
        )
    return math.prod(shape[:-1]), shape[-1]
