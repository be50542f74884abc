"""Structural similarity as a reconstruction term: a loss, and no likelihood."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from aelab.core.errors import ConfigurationError
from aelab.core.records import Trace
from aelab.core.schedules import Schedule
from aelab.models import Autoencoder
from aelab.models.evidence import required_posterior
from aelab.objectives.base import Term

POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from fine to coarse (Wang et al. 2003)


class MSSSIM(Term):
    """1 - the multi-scale structural similarity of the image and the mean of p(x|z,c) (Snell et al. 2017).

    It is between 0 and about 1, so its weight is an image's distortion in nats where nothing is alike.

    scales: each but the first halves the image, whose sides keep 3 pixels or more at the coarsest.
    """

    def __init__(self, weight: float | Schedule = 1.0, scales: int = 2) -> None:
        super().__init__(weight)
        if not 1 <= scales <= len(POWERS):
            raise ConfigurationError(f"scales={scales}: choose from 1 to {len(POWERS)}")
        self.scales = scales

    def forward(self, trace: Trace, model: Autoencoder) -> Tensor:
        required_posterior(trace, "a reconstruction")
        mean = trace.likelihood.mean
        return (
            1
            - ms_ssim(
                mean.flatten(0, 1), trace.x.repeat(len(mean), *[1] * (trace.x.dim() - 1)), self.scales
            ).mean()
        )


def ms_ssim(x: Tensor, y: Tensor, scales: int) -> Tensor:
    """The multi-scale structural similarity of images (B, C, H, W) in [0, 1]: (B,).

    The window is Gaussian, of 11 pixels or what the coarsest scale holds, with a deviation of 1.5 in 11.
    Raises ConfigurationError for images too small for the scales.
    """
    if x.dim() != 4:
        raise ConfigurationError(
            f"structural similarity is of images, and observations are {list(x.shape[1:])}: choose another "
            "objective"
        )
    side = min(x.shape[-2:]) // 2 ** (scales - 1)
    if side < 3:  # a window of one pixel sees no structure, only brightness
        raise ConfigurationError(f"images of {tuple(x.shape[-2:])} are too small for scales={scales}")
    size = min(11, side - (side + 1) % 2)
    window = _window(size, 1.5 * size / 11, x)
    powers = _normalised(POWERS[:scales])
    factors = []
    for scale, power in enumerate(powers):
        contrast, luminance = _similarity(x, y, window)
        last = scale == scales - 1
        # Where structures are opposed a power of the negative contrast would be NaN.
        factors.append((contrast * luminance if last else contrast).mean((2, 3)).clamp_min(1e-6) ** power)
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return torch.stack(factors).prod(0).mean(1)


def _similarity(x: Tensor, y: Tensor, window: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast-and-structure and luminance maps, (B, C, h, w)."""
    c1, c2 = 0.01**2, 0.03**2
    mean_x, mean_y, xx, yy, xy = (_blur(v, window) for v in (x, y, x * x, y * y, x * y))
    variance = xx - mean_x.square() + yy - mean_y.square()
    covariance = xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (2 * covariance + c2) / (variance + c2), luminance


def _blur(x: Tensor, window: Tensor) -> Tensor:
    kernel = window.expand(x.shape[1], 1, -1)
    rows = F.conv2d(x, kernel[..., None], groups=x.shape[1])
    return F.conv2d(rows, kernel[..., None, :], groups=x.shape[1])


def _window(size: int, deviation: float, like: Tensor) -> Tensor:
    offsets = torch.arange(size, dtype=like.dtype, device=like.device) - (size - 1) / 2
    weights = (-offsets.square() / (2 * deviation**2)).exp()
    return weights / weights.sum()


def _normalised(powers: Sequence[float]) -> list[float]:
    return [power / sum(powers) for power in powers]
