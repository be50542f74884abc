"""Degradations that change each value by itself."""

import io
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.jobs.degradation import Degradation, Degraded, Shape, log_density, positive, variance
from aelab.models.distributions import Gaussian
from aelab.models.networks.corruption import SaltAndPepper as Salted

STEP = 1 / 255  # of the grid that grey levels lie on


class Noise(Degradation, ABC):
    """Noise of mean 0 whose variance follows from the value; p(y|z) is the Gaussian of the same moments."""

    @abstractmethod
    def noise(self, mean: Tensor, spread: Tensor) -> Tensor:
        """The variance of the noise of values of a mean and a variance."""

    def log_prob(self, left: Degraded, p: Distribution) -> Tensor:
        mean, spread = p.mean, variance(p)
        total = (spread + self.noise(mean, spread)).clamp_min(1e-9)
        return Gaussian(mean, total.log(), len(p.event_shape)).log_prob(left.y)

    def explained(self, left: Degraded, p: Distribution) -> tuple[Tensor, Tensor]:
        """The best linear guess, which of Gaussians is Wiener's filter."""
        mean, spread = p.mean, variance(p)
        gain = spread / (spread + self.noise(mean, spread)).clamp_min(1e-9)
        return mean + gain * (left.y - mean), (1 - gain) * spread


class Additive(Noise):
    """y = x + scale e, e standard normal."""

    def __init__(self, scale: float = 0.3) -> None:
        self.scale = positive("scale", scale)

    def draw(self, x: Tensor) -> Tensor:
        return x + self.scale * torch.randn_like(x)

    def noise(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.full_like(mean, self.scale**2)


class Multiplicative(Noise):
    """y = x (1 + scale e), e standard normal."""

    def __init__(self, scale: float = 0.5) -> None:
        self.scale = positive("scale", scale)

    def draw(self, x: Tensor) -> Tensor:
        return x * (1 + self.scale * torch.randn_like(x))

    def noise(self, mean: Tensor, spread: Tensor) -> Tensor:
        return self.scale**2 * (mean.square() + spread)


class Poisson(Noise):
    """y peak ~ Poisson(x peak): counted light. peak: the count of white."""

    images = True

    def __init__(self, peak: float = 10.0) -> None:
        self.peak = positive("peak", peak)

    def draw(self, x: Tensor) -> Tensor:
        return torch.poisson(x.clamp_min(0) * self.peak) / self.peak

    def noise(self, mean: Tensor, spread: Tensor) -> Tensor:
        return mean.clamp_min(1 / self.peak) / self.peak


class Jpeg(Noise):
    """Compression as a JPEG picture. quality: from 1 to 95. deviation: of the errors, for ways that read
    p(y|z)."""

    images = True

    def __init__(self, quality: int = 5, deviation: float = 0.1) -> None:
        if not 1 <= quality <= 95:
            raise ConfigurationError(f"degradation.quality={quality}: from 1 to 95")
        self.quality, self.deviation = quality, positive("deviation", deviation)

    def check(self, shape: Shape) -> None:
        super().check(shape)
        if shape[0] not in (1, 3):
            raise InapplicableError(f"a JPEG picture has one channel or three, and these have {shape[0]}")

    def draw(self, x: Tensor) -> Tensor:
        levels = (x.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
        return torch.stack([self._through(level) for level in levels]).to(x)

    def _through(self, levels: Tensor) -> Tensor:
        file = io.BytesIO()
        Image.fromarray(levels.permute(1, 2, 0).squeeze(2).numpy()).save(file, "JPEG", quality=self.quality)
        found = torch.from_numpy(np.array(Image.open(file)))
        return (found[None] if found.dim() == 2 else found.permute(2, 0, 1)) / 255

    def noise(self, mean: Tensor, spread: Tensor) -> Tensor:
        return torch.full_like(mean, self.deviation**2)


class SaltAndPepper(Degradation):
    """Each value, with the given probability, one of its two bounds at even odds."""

    def __init__(self, probability: float = 0.25, bounds: Sequence[float] | None = (0, 1)) -> None:
        self.replace = Salted(probability, bounds)
        self.probability, self.bounds = probability, cast(Sequence[float], bounds)

    def draw(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.replace(x))

    def log_prob(self, left: Degraded, p: Distribution) -> Tensor:
        return torch.logaddexp(*self._either(left, p)).flatten(2).sum(2)

    def explained(self, left: Degraded, p: Distribution) -> tuple[Tensor, Tensor]:
        genuine, replaced = self._either(left, p)
        trust, gap = (genuine - replaced).sigmoid(), left.y - p.mean
        return p.mean + trust * gap, (1 - trust) * (variance(p) + trust * gap.square())

    def _either(self, left: Degraded, p: Distribution) -> tuple[Tensor, Tensor]:
        """The log-probabilities that a value is x itself, and that it replaces it: (S, B, *event)."""
        each = log_density(p, left.y)
        if each.shape[2:] != p.event_shape:
            raise InapplicableError("the likelihood joins channels, which are replaced one by one")
        at_bounds = (left.y == self.bounds[0]) | (left.y == self.bounds[1])
        grid = 0.0 if p.support.is_discrete else math.log(STEP)  # type: ignore[union-attr]
        replaced = torch.full_like(each, math.log(self.probability / 2))
        return math.log1p(-self.probability) + each + grid, replaced.masked_fill(~at_bounds, -math.inf)
