"""Structural similarity of images, where they are large enough for its windows."""

import torch
from torch import Tensor

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity
from aelab.core.text import sizes

SSIM = Quantity("ssim", "fraction", True)
MS_SSIM = Quantity("ms_ssim", "fraction", True)

WINDOW = 11  # pixels of the Gaussian window
SCALES_FROM = 176  # pixels: after four halvings a side must hold the window


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """The structural similarity of images (B, C, H, W) in [0, 1]: (B,), 1 for equal ones (Wang et al. 2004,
    https://doi.org/10.1109/TIP.2003.819861).

    Raises InapplicableError for images smaller than the window.

    >>> x = torch.rand(2, 1, 16, 16)
    >>> ssim(x, x)
    tensor([1., 1.], dtype=torch.float64)
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check_images(x)
    if min(x.shape[-2:]) < WINDOW:
        raise InapplicableError(
            f"images of {sizes(x.shape[-2:])} are smaller than the window of {WINDOW} pixels"
        )
    similarity = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity.reshape(len(x)).double()


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """The structural similarity over five scales: (B,) (Wang et al. 2003,
    https://doi.org/10.1109/ACSSC.2003.1292216).

    Raises InapplicableError for images too small for them.

    >>> x = torch.rand(1, 1, 176, 176)
    >>> ms_ssim(x, x)
    tensor([1.], dtype=torch.float64)
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    _check_images(x)
    if min(x.shape[-2:]) < SCALES_FROM:
        raise InapplicableError(
            f"images of {sizes(x.shape[-2:])} are too small for five scales: {SCALES_FROM} pixels"
        )
    # One by one: torchmetrics averages over a batch before it multiplies the scales.
    each = [
        multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0)
        for a, b in zip(x, y, strict=True)
    ]
    return torch.stack(each).double()


def _check_images(x: Tensor) -> None:
    if x.dim() != 4:
        raise InapplicableError(f"structural similarity is of images, and these are of {list(x.shape[1:])}")
