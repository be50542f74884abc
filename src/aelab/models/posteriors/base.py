"""What every posterior is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError

Features = int | tuple[int, int, int]
"""What an encoder gives for each observation: so many numbers, or a map (C, H, W)."""


def check_latent(latent: int) -> int:
    """The latent size if it is a positive integer; ConfigurationError otherwise."""
    if not isinstance(latent, int) or isinstance(latent, bool) or latent < 1:
        raise ConfigurationError(f"latent={latent}: the latent size must be an integer of at least 1")
    return latent


def head(features: Features, outputs: int) -> nn.Module:
    """The linear map from features to `outputs` numbers, at each place of a map (channels first)."""
    if isinstance(features, int):
        return nn.Linear(features, outputs)
    return nn.Conv2d(features[0], outputs, 1)


def layout_of(features: Features, latent: int) -> tuple[int, ...]:
    """The layout of codes with `latent` numbers, at each place where the features are a map."""
    return (latent,) if isinstance(features, int) else (latent, *features[1:])


def vector(features: Features, posterior: str) -> int:
    """The number of features; ConfigurationError where they are a map, which this posterior cannot read."""
    if isinstance(features, int):
        return features
    raise ConfigurationError(
        f"posterior={posterior} reads a vector of features and the encoder gives maps {list(features)}: "
        "choose model.encoder.flat=true, or posterior=diagonal_gaussian"
    )


class Posterior(nn.Module, ABC):
    """forward: h (B, *features), read off x and c by the encoder, and step -> q(z|x,c) over (B, latent).

    Built with what the encoder gives and the sizes of the model.

    layout: of what the decoder reads of a code, which is the front of it; a code itself is flat.
    latent: the size of a code; None: as much as the decoder reads.
    codes, symbols: entries of a codebook, and the grid that they stand in; None and () without one.
    units: what of a code may be in use or not: its numbers, or the entries of its codebooks.
    step: the optimisation step, for parts that follow a schedule.
    """

    codes: int | None = None
    symbols: tuple[int, ...] = ()

    def __init__(self, layout: Sequence[int], latent: int | None = None) -> None:
        super().__init__()
        for size in layout:
            check_latent(size)
        self.layout = tuple(layout)
        self.decoded = math.prod(layout)
        self.latent = self.decoded if latent is None else check_latent(latent)
        self.units = self.latent

    @abstractmethod
    def forward(self, h: Tensor, step: int = 0) -> Distribution: ...
