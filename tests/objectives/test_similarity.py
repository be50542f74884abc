from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torchmetrics.functional.image import structural_similarity_index_measure

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models.distributions import Bernoulli, PointMass
from aelab.objectives.similarity import MSSSIM, ms_ssim

few = settings(max_examples=15, deadline=None)
BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def images(count, channels, height, width, seed=0):
    """Pairs that are alike at all scales, so that no covariance is negative."""
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": torch.float64}
    x = torch.rand(count, channels, height, width, **draw)
    return x, (0.8 * x + 0.2 * torch.rand(x.shape, **draw)).clamp(0, 1)


def reference(x, y, scales, window):
    """Wang et al. 2003 of one channel, from the maps of torchmetrics, whose mean of the last scale also
    counts a border that it reflects."""
    powers = torch.tensor(BETAS[:scales], dtype=torch.float64)
    edge, total = window // 2, torch.ones(len(x), dtype=torch.float64)
    settings = {"sigma": 1.5 * window / 11, "kernel_size": window, "data_range": 1.0, "reduction": "none"}
    for scale, power in enumerate((powers / powers.sum()).tolist()):
        if scale == scales - 1:
            _, maps = structural_similarity_index_measure(x, y, return_full_image=True, **settings)
            value = maps[..., edge:-edge, edge:-edge].mean((1, 2, 3))
        else:
            _, value = structural_similarity_index_measure(x, y, return_contrast_sensitivity=True, **settings)
        total = total * value**power
        odd = (0, x.shape[3] % 2, 0, x.shape[2] % 2)
        x, y = (F.avg_pool2d(F.pad(v, odd, mode="replicate"), 2) for v in (x, y))
    return total


@pytest.mark.parametrize(
    ("side", "scales", "window"),
    [(16, 1, 11), (8, 1, 7), (28, 2, 11), (22, 2, 11), (8, 2, 3), (28, 3, 7), (45, 3, 11), (48, 5, 3)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_similarity_is_that_of_torchmetrics_averaged_over_channels(side, scales, window, channels):
    x, y = images(3, channels, side, side + 3)
    each = [reference(x[:, c : c + 1], y[:, c : c + 1], scales, window) for c in range(channels)]
    assert_close(ms_ssim(x, y, scales), torch.stack(each).mean(0), rtol=1e-5, atol=1e-6)


@few
@given(st.integers(8, 24), st.integers(8, 24), st.integers(1, 2), st.integers(0, 5))
def test_an_image_is_alike_to_itself_alone_and_similarity_is_symmetric(height, width, scales, seed):
    x, y = images(2, 1, height, width, seed)
    assert_close(ms_ssim(x, x, scales), torch.ones(2).double())
    assert (ms_ssim(x, y, scales) < 1 - 1e-3).all()
    assert_close(ms_ssim(x, y, scales), ms_ssim(y, x, scales))


def trace(logits, x):
    point = PointMass(torch.zeros(len(x), 1))
    return Trace(Batch(x), x, None, point, None, point.value[None], lambda: Bernoulli(logits, 3))


def test_the_term_is_the_dissimilarity_of_each_codes_mean_averaged():
    x, _ = images(4, 1, 12, 12)
    logits = torch.randn(3, *x.shape, dtype=torch.float64)
    each = [1 - ms_ssim(logits[s, b, None].sigmoid(), x[b, None], 2) for s in range(3) for b in range(4)]
    assert_close(MSSSIM(scales=2)(trace(logits, x), SimpleNamespace()), torch.cat(each).mean())


def test_a_perfect_mean_costs_nothing():
    x = images(4, 1, 12, 12)[0].clamp(0.01, 0.99)
    assert_close(
        MSSSIM(scales=2)(trace(x.logit()[None], x), SimpleNamespace()).item(), 0.0, atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("scales", [1, 2])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_gradients_are_finite_for_constant_and_opposed_images(scales, target):
    constant = torch.full((2, 1, 12, 12), target)
    noise = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    for x, logits in ((constant, torch.zeros_like(constant)), (noise, -(20 * noise - 10)), (constant, noise)):
        leaf = logits[None].clone().requires_grad_()
        value = MSSSIM(scales=scales)(trace(leaf, x), SimpleNamespace())
        (found,) = torch.autograd.grad(value, leaf)
        assert value.isfinite()
        assert found.isfinite().all()


def test_following_the_gradient_makes_images_alike():
    x, _ = images(2, 1, 12, 12)
    leaf = torch.zeros(1, *x.shape, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([leaf], lr=0.1)
    term = MSSSIM(scales=2)
    for _ in range(150):
        loss = term(trace(leaf, x), SimpleNamespace())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("side", "scales", "fits"), [(2, 1, False), (3, 1, True), (8, 3, False), (12, 3, True)]
)
def test_images_too_small_for_a_window_of_three_pixels_are_refused(side, scales, fits):
    x, y = images(1, 1, side, side + 1)
    if fits:
        # Structure counts, not the mean brightness alone.
        assert ms_ssim(x, x.flip(-1), scales) < 0.9
        return
    with pytest.raises(ConfigurationError, match=f"too small for scales={scales}"):
        ms_ssim(x, y, scales)


@pytest.mark.parametrize("scales", [0, 6])
def test_scales_without_a_published_power_are_refused(scales):
    with pytest.raises(ConfigurationError, match="from 1 to 5"):
        MSSSIM(scales=scales)
