"""Structural similarity: its fixed points, its reference, and the sizes that it refuses."""

import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from aelab.errors import InapplicableError
from aelab.metrics.structure import ms_ssim, ssim


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


def test_the_mean_is_the_reference():
    x, y = images(8), images(8, seed=1)
    expected = structural_similarity_index_measure(x, y, data_range=1.0).item()
    assert ssim(x, y).mean().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("similarity", "side"), [(ssim, 10), (ms_ssim, 175)])
def test_images_too_small_for_the_windows_are_refused(similarity, side):
    with pytest.raises(InapplicableError, match=f"{side}x{side}"):
        similarity(images(side=side), images(side=side))
