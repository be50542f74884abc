"""Structural similarity of images, where they are large enough for its windows."""

import torch
from torch import Tensor

from aelab.core.errors import InapplicableError
from aelab.core.quantity import Quantity

SSIM = Quantity("ssim", "fraction", True)
MS_SSIM = Quantity("ms_ssim", "fraction", True)

WINDOW = 11  # pixels of the Gaussian window (Wang et al. 2004)
SCALES_FROM = 176  # pixels: after four halvings a side must hold the window (Wang et al. 2003)


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Structural similarity of images (B, C, H, W) in [0, 1]: (B,), 1 for equal ones (Wang et al. 2004).

    InapplicableError for images smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check_images(x)
    if min(x.shape[-2:]) < WINDOW:
        raise InapplicableError(f"images of {_size(x)} are smaller than the window of {WINDOW} pixels")
    similarity = structural_similarity_index_measure(x, y, data_range=1.0, reduction="none")
    assert isinstance(similarity, Tensor)
    return similarity.reshape(len(x)).double()


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """The same over five scales (Wang et al. 2003): (B,).

    InapplicableError for images too small for them.
    """
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    _check_images(x)
    if min(x.shape[-2:]) < SCALES_FROM:
        raise InapplicableError(f"images of {_size(x)} are too small for five scales: {SCALES_FROM} pixels")
    # One by one: torchmetrics averages over a batch before it multiplies the scales.
    each = [
        multiscale_structural_similarity_index_measure(a[None], b[None], data_range=1.0)
        for a, b in zip(x, y, strict=True)
    ]
    return torch.stack(each).double()


def _check_images(x: Tensor) -> None:
    if x.dim() != 4:
        raise InapplicableError(f"structural similarity is of images, and these are of {list(x.shape[1:])}")


def _size(x: Tensor) -> str:
    return "x".join(str(side) for side in x.shape[-2:])
