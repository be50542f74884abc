"""The wrapped normal against integrals, geodesics and its closed forms."""

import math

import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from aelab.models.distributions import WrappedNormal
from aelab.models.distributions.hyperbolic import add, from_origin, log_sinh_ratio, to_origin


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def distance(x, y):
    """Of the ball's points, by the formula of its metric."""
    ratio = (x - y).square().sum(-1) / ((1 - x.square().sum(-1)) * (1 - y.square().sum(-1)))
    return torch.acosh(1 + 2 * ratio)


LOC, LOG_VARIANCE = double(0.5, -0.3), double(-1.0, 0.4)


def test_its_density_integrates_to_one_over_the_ball():
    radius = torch.linspace(0, 1, 2001, dtype=torch.float64)[:-1] + 1 / 4000
    angle = torch.linspace(0, 2 * math.pi, 401, dtype=torch.float64)[:-1]
    z = radius[:, None, None] * torch.stack([angle.cos(), angle.sin()], -1)
    found = WrappedNormal(LOC, LOG_VARIANCE).log_prob(z).exp() * radius[:, None]
    assert found.sum().item() * (2 * math.pi / 400) / 2000 == pytest.approx(1, abs=1e-4)


def test_samples_have_its_density():
    """E[1 / q(z)] over a region is the region's area."""
    q = WrappedNormal(LOC, LOG_VARIANCE)
    z = q.rsample((200_000,))
    weights = torch.where((z - LOC).norm(dim=-1) < 0.3, (-q.log_prob(z)).exp(), 0.0)
    assert abs(weights.mean() - math.pi * 0.09) < 4 * weights.std() / len(z) ** 0.5


def test_on_a_line_it_is_a_gaussian_of_distances():
    loc, z = double(0.3), double(-0.2)
    q = WrappedNormal(loc, double(0.6))
    to_mean = 2 * (z.atanh() - loc.atanh())
    slope = 2 / (1 - z.square())
    expected = stats.norm.pdf(to_mean.item(), scale=math.exp(0.3)) * slope
    assert q.log_prob(z).exp().item() == pytest.approx(expected.item())


def test_distances_from_the_mean_are_those_of_the_gaussian():
    q = WrappedNormal(LOC.expand(50_000, 2), torch.zeros(50_000, 2).double())
    found = distance(q.rsample(), LOC)
    assert stats.kstest(found.numpy(), stats.rayleigh.cdf).pvalue > 1e-3


def test_maps_are_inverse_and_keep_distances():
    x, y, a = (from_origin(torch.randn(20, 3).double()) for _ in range(3))
    assert_close(from_origin(to_origin(x)), x)
    assert_close(to_origin(x).norm(dim=-1), distance(x, torch.zeros_like(x)))
    assert_close(distance(add(a, x), add(a, y)), distance(x, y))
    assert_close(add(-a, add(a, x)), x)


def test_far_codes_and_the_mean_itself_have_finite_densities_and_gradients():
    loc = torch.tensor([[0.0, 0.0], [0.99999, 0.0]], requires_grad=True)
    log_variance = torch.zeros(2, 2, requires_grad=True)
    q = WrappedNormal(loc, log_variance)
    (q.log_prob(loc.detach()) + q.log_prob(q.rsample((9,)))).sum().backward()
    assert loc.grad.isfinite().all()
    assert log_variance.grad.isfinite().all()


def test_the_ratio_of_spheres_is_smooth_where_its_series_takes_over():
    d = torch.linspace(1e-3, 0.05, 50, dtype=torch.float64)
    assert_close(log_sinh_ratio(d), (d.sinh() / d).log(), rtol=1e-4, atol=1e-9)
