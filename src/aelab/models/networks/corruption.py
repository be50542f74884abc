"""Corruptions of the encoder's input; the target stays clean (Vincent et al. 2010)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from aelab.core.errors import ConfigurationError


def _probability(value: float) -> float:
    if not 0 <= value <= 1:
        raise ConfigurationError(f"model.corruption.probability={value}: a probability lies between 0 and 1")
    return value


class GaussianNoise(nn.Module):
    """x + scale * noise; values may leave [0, 1]."""

    def __init__(self, scale: float = 0.3) -> None:
        super().__init__()
        if not 0 <= scale < math.inf:
            raise ConfigurationError(
                f"model.corruption.scale={scale}: the scale must be finite and not negative"
            )
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.randn_like(x)


class Inversion(nn.Module):
    """low + high - x of values in [low, high]: white for black."""

    def __init__(self, bounds: Sequence[float] | None = (0, 1)) -> None:
        super().__init__()
        if bounds is None:
            raise ConfigurationError(
                "values are inverted between their bounds, and these have none (data.bounds is null): give "
                "model.prior.change.bounds=[low,high], or choose a data set of images"
            )
        self.ends = float(sum(bounds))

    def forward(self, x: Tensor) -> Tensor:
        return self.ends - x


class Masking(nn.Module):
    """Sets each value to 0 with the given probability."""

    def __init__(self, probability: float = 0.25) -> None:
        super().__init__()
        self.probability = _probability(probability)

    def forward(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.probability)


class SaltAndPepper(nn.Module):
    """Sets each value, with the given probability, to one of its bounds at even odds."""

    def __init__(self, probability: float = 0.25, bounds: Sequence[float] | None = (0, 1)) -> None:
        super().__init__()
        if bounds is None:
            raise ConfigurationError(
                "corruption=salt_and_pepper sets values to their bounds, and these have none (data.bounds is "
                "null): choose corruption=masking or gaussian"
            )
        self.probability, (self.low, self.high) = _probability(probability), bounds

    def forward(self, x: Tensor) -> Tensor:
        u = torch.rand_like(x)
        ends = torch.where(u < self.probability / 2, float(self.high), float(self.low))
        return torch.where(u < self.probability, ends.to(x.dtype), x)
