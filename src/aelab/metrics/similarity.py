"""Structural similarity of images, where they are large enough for its windows."""

import math

from torch import Tensor

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.structure import POWERS, WINDOW, structure
from aelab.core.text import sizes

SSIM = Quantity("ssim", "fraction", True)
MS_SSIM = Quantity("ms_ssim", "fraction", True)

SCALES_FROM = 176  # pixels: after four halvings a side must hold the window


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """The structural similarity of images (B, C, H, W) in [0, 1]: (B,), 1 for equal ones (Wang et al. 2004,
    https://doi.org/10.1109/TIP.2003.819861), in Gaussian windows that lie inside the image; the mean over
    channels.

    Raises InapplicableError for images smaller than the window.

    >>> import torch
    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1., 1.], dtype=torch.float64)
    """
    _check_images(x)
    if min(x.shape[-2:]) < WINDOW:
        raise InapplicableError(
            f"images of {sizes(x.shape[-2:])} are smaller than the window of {WINDOW} pixels"
        )
    return structure(x.double(), y.double(), (1.0,), floor=-math.inf)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """The structural similarity over five scales: (B,) (Wang et al. 2003,
    https://doi.org/10.1109/ACSSC.2003.1292216), of each channel, and the mean over these. Contrasts that are
    opposed count as 0.

    Raises InapplicableError for images too small for them.

    >>> import torch
    >>> x = torch.rand(1, 1, 176, 176)
    >>> ms_ssim(x, x)
    tensor([1.], dtype=torch.float64)
    """
    _check_images(x)
    if min(x.shape[-2:]) < SCALES_FROM:
        raise InapplicableError(
            f"images of {sizes(x.shape[-2:])} are too small for five scales: {SCALES_FROM} pixels"
        )
    return structure(x.double(), y.double(), POWERS)


def _check_images(x: Tensor) -> None:
    if x.dim() != 4:
        raise InapplicableError(f"structural similarity is of images, and these are of {list(x.shape[1:])}")
