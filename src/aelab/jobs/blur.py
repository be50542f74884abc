"""Degradations that take details away: blur, and fewer pixels."""

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.text import sizes
from aelab.jobs.degradation import Degradation, Degraded, Shape, positive, variance
from aelab.models.distributions import Gaussian


class Linear(Degradation, ABC):
    """Fewer details: y = A x + noise e. noise: its deviation."""

    images = True

    def __init__(self, noise: float = 0.02) -> None:
        self.noise = positive("noise", noise)

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """A x of images (B, C, H, W)."""

    @abstractmethod
    def apply_to_variance(self, spread: Tensor) -> Tensor:
        """The variance of A x, where x has independent values of this variance."""

    def draw(self, x: Tensor) -> Tensor:
        y = self.apply(x)
        return y + self.noise * torch.randn_like(y)

    def log_prob(self, left: Degraded, p: Distribution) -> Tensor:
        mean, spread = p.mean, variance(p)
        around = self.apply(mean.flatten(0, 1)).unflatten(0, mean.shape[:2])
        total = self.apply_to_variance(spread.flatten(0, 1)).unflatten(0, mean.shape[:2]) + self.noise**2
        return Gaussian(around, total.log(), 3).log_prob(left.y)


class Blur(Linear):
    """A Gaussian blur of `scale` pixels, continued at the edges by their mirror image, and noise."""

    def __init__(self, scale: float = 1.5, noise: float = 0.02) -> None:
        super().__init__(noise)
        self.reach = math.ceil(3 * positive("scale", scale))
        offsets = torch.arange(-self.reach, self.reach + 1.0)
        weights = (-0.5 * (offsets / scale).square()).exp()
        self.window = weights / weights.sum()

    def check(self, shape: Shape) -> None:
        super().check(shape)
        if min(shape[1:]) <= self.reach:
            raise InapplicableError(f"images of {sizes(shape)} are no wider than the blur: lower its scale")

    def apply(self, x: Tensor) -> Tensor:
        return self._along(x, self.window)

    def apply_to_variance(self, spread: Tensor) -> Tensor:
        return self._along(spread, self.window.square())

    def _along(self, x: Tensor, window: Tensor) -> Tensor:
        kernel = window.to(x).expand(x.shape[1], 1, -1)
        padded = F.pad(x, [self.reach] * 4, mode="reflect")
        rows = F.conv2d(padded, kernel[..., None], groups=x.shape[1])
        return F.conv2d(rows, kernel[..., None, :], groups=x.shape[1])


class Downsampling(Linear):
    """The means of blocks of factor x factor pixels, and noise; shown in the old size by bicubic curves."""

    def __init__(self, factor: int = 2, noise: float = 0.02) -> None:
        super().__init__(noise)
        if factor < 2:
            raise ConfigurationError(f"degradation.factor={factor}: at least 2")
        self.factor = factor

    def check(self, shape: Shape) -> None:
        super().check(shape)
        if any(side % self.factor for side in shape[1:]):
            raise InapplicableError(
                f"images of {sizes(shape)} have no blocks of {self.factor} pixels: choose another factor"
            )

    def left(self, shape: Shape) -> Shape:
        return (shape[0], *(side // self.factor for side in shape[1:]))

    def apply(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.factor)

    def apply_to_variance(self, spread: Tensor) -> Tensor:
        return F.avg_pool2d(spread, self.factor) / self.factor**2

    def of(self, y: Tensor, shape: Shape) -> Degraded:
        larger = F.interpolate(y, size=shape[1:], mode="bicubic", align_corners=False)
        return Degraded(y, larger, self)
