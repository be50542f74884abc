"""Structural similarity: its fixed points, its reference, and the sizes that it refuses."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from aelab.core.errors import InapplicableError
from aelab.metrics.similarity import ms_ssim, ssim


def images(count=4, side=28, channels=1, seed=0):
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("similarity", "side"), [(ssim, 11), (ssim, 28), (ms_ssim, 176)])
def test_images_are_alike_to_themselves_and_less_so_with_noise(similarity, side):
    x = images(3, side, 3)
    assert similarity(x, x).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    little, much = (similarity(x, (x + s * noise).clamp(0, 1)) for s in (0.1, 0.5))
    assert (much < little).all()
    assert (little < 0.999).all()
    torch.testing.assert_close(similarity(x, x.flip(-1)), similarity(x.flip(-1), x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("similarity", "side"), [(ssim, 28), (ms_ssim, 176)])
def test_an_images_similarity_does_not_depend_on_its_batch(similarity, side):
    x, y = images(3, side), images(3, side, seed=1)
    y = 0.7 * x + 0.3 * y
    alone = torch.cat([similarity(a[None], b[None]) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(similarity(x, y), alone, atol=1e-6, rtol=1e-6)
    assert alone.dtype == torch.float64
    assert len(set(alone.tolist())) == 3


def structure(a, b):
    """Mean similarity of two images (C, H, W) mirrored at their borders, and mean contrast within these."""
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel /= kernel.sum()

    def local(x):
        return correlate1d(correlate1d(x, kernel, 1, mode="mirror"), kernel, 2, mode="mirror")

    mean_a, mean_b = local(a), local(b)
    contrast = (2 * (local(a * b) - mean_a * mean_b) + 0.03**2) / (
        local(a * a) - mean_a**2 + local(b * b) - mean_b**2 + 0.03**2
    )
    similarity = contrast * (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
    return similarity.mean(), contrast[:, 5:-5, 5:-5].mean()


def over_scales(a, b):
    value = 1.0
    for weight in (0.0448, 0.2856, 0.3001, 0.2363):
        value *= structure(a, b)[1] ** weight
        a, b = (x.reshape(len(x), x.shape[1] // 2, 2, -1, 2).mean((2, 4)) for x in (a, b))
    return value * structure(a, b)[0] ** 0.1333


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("similarity", "side", "reference"),
    [(ssim, 28, lambda a, b: structure(a, b)[0]), (ms_ssim, 176, over_scales)],
)
def test_every_image_has_the_similarity_of_the_formula_and_of_torchmetrics(
    similarity, side, reference, channels
):
    x, y = images(3, side, channels), images(3, side, channels, seed=1)
    y = 0.6 * x + 0.3 * y
    expected = [reference(a, b) for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)]
    assert similarity(x, y).tolist() == pytest.approx(expected, abs=1e-4)
    assert max(expected) < 0.95
    theirs = {
        ssim: structural_similarity_index_measure,
        ms_ssim: multiscale_structural_similarity_index_measure,
    }[similarity]
    assert similarity(x, y)[1].item() == pytest.approx(
        theirs(x[1:2], y[1:2], data_range=1.0).item(), abs=1e-5
    )


@pytest.mark.parametrize(("similarity", "side"), [(ssim, 10), (ms_ssim, 175)])
def test_images_too_small_for_the_windows_are_refused(similarity, side):
    with pytest.raises(InapplicableError, match=f"{side}x{2 * side}"):
        similarity(torch.zeros(2, 1, side, 2 * side), torch.zeros(2, 1, side, 2 * side))
