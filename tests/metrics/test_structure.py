"""Structural similarity: its fixed points, its reference, and the sizes that it refuses."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, correlate1d
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import structural_similarity_index_measure

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


WANG = {
    "data_range": 1.0, "channel_axis": 0, "gaussian_weights": True, "sigma": 1.5,
    "use_sample_covariance": False,
}  # fmt: skip


def both(kind, side, channels):
    """Images and what is near to them, unlike them, or their opposite: (3, C, side, side + 5) each."""
    x = images(3, side + 5, channels)[..., :side, :]
    others = {"near": 0.8 * x + 0.2 * images(3, side + 5, channels, 1)[..., :side, :], "opposed": 1 - x}
    return x, others[kind]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["near", "opposed"])
@pytest.mark.parametrize("side", [11, 28, 33])
def test_the_similarity_is_that_of_scikit_image(side, kind, channels):
    x, y = both(kind, side, channels)
    expected = [
        structural_similarity(a, b, **WANG)
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    assert ssim(x, y).tolist() == pytest.approx(expected, abs=1e-8)
    assert (max(expected) < 0) == (kind == "opposed")


def test_strokes_at_the_border_are_seen_by_no_window_that_reaches_beyond_it():
    """A window that is continued beyond the border, as by mirrors, sees more of equal black than there is."""
    x = torch.zeros(1, 1, 28, 28)
    x[..., 8:20, 12:16] = 1
    padded = structural_similarity_index_measure(x, 0.6 * x, data_range=1.0).item()
    assert padded - ssim(x, 0.6 * x).item() > 0.03


def over_scales(a, b):
    """Wang et al. 2003, of two images (H, W), with scipy's filters."""
    value = 1.0
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel /= kernel.sum()

    def local(x):
        return correlate1d(correlate1d(x, kernel, 0), kernel, 1)[5:-5, 5:-5]

    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        mean_a, mean_b = local(a), local(b)
        covariance, variance = local(a * b) - mean_a * mean_b, local(a * a + b * b) - mean_a**2 - mean_b**2
        term = (2 * covariance + 0.03**2) / (variance + 0.03**2)
        if scale == 4:
            term = term * (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
        value *= max(term.mean(), 0) ** weight
        # The mean of two by two, symmetric at the far border, and every second one: their msssim.m.
        a, b = (correlate(x, np.full((2, 2), 0.25), mode="reflect", origin=-1)[::2, ::2] for x in (a, b))
    return value


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["near", "opposed"])
@pytest.mark.parametrize("side", [176, 181])
def test_over_scales_it_is_that_of_the_formula(side, kind, channels):
    x, y = both(kind, side, channels)
    expected = [
        np.mean([over_scales(*pair) for pair in zip(a, b, strict=True)])
        for a, b in zip(x.double().numpy(), y.double().numpy(), strict=True)
    ]
    assert ms_ssim(x, y).tolist() == pytest.approx(expected, abs=1e-8)
    assert (max(expected) == 0) == (kind == "opposed")


@pytest.mark.parametrize(("similarity", "side"), [(ssim, 10), (ms_ssim, 175)])
def test_images_too_small_for_the_windows_are_refused(similarity, side):
    with pytest.raises(InapplicableError, match=f"{side}x{2 * side}"):
        similarity(torch.zeros(2, 1, side, 2 * side), torch.zeros(2, 1, side, 2 * side))
