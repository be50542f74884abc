"""The structural similarity of images over scales, in windows that lie inside the image."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 11  # pixels of the Gaussian window, whose deviation is 1.5 of them
POWERS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from fine to coarse (Wang et al. 2003)


def structure(
    x: Tensor, y: Tensor, powers: Sequence[float], size: int = WINDOW, floor: float = 0.0
) -> Tensor:
    """The structural similarity of images (B, C, H, W) in [0, 1] over as many scales as `powers`: (B,), the
    mean over channels.

    One scale: Wang et al. 2004 (https://doi.org/10.1109/TIP.2003.819861). Several: Wang et al. 2003
    (https://doi.org/10.1109/ACSSC.2003.1292216), each scale half of the one before; an odd side is first
    continued by its last row, as their code does. size: of the window, in pixels. floor: where structures are
    opposed a power of the negative contrast would be NaN.
    """
    window = _window(size, 1.5 * size / WINDOW, x)
    factors = []
    for scale, power in enumerate(powers):
        if scale:
            x, y = _halved(x), _halved(y)
        contrast, luminance = _similarity(x, y, window)
        last = scale == len(powers) - 1
        factors.append((contrast * luminance if last else contrast).mean((2, 3)).clamp_min(floor) ** power)
    return torch.stack(factors).prod(0).mean(1)


def _halved(x: Tensor) -> Tensor:
    odd = F.pad(x, (0, x.shape[-1] % 2, 0, x.shape[-2] % 2), mode="replicate")
    return F.avg_pool2d(odd, 2)


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
