import itertools
import math
from functools import cache

import mpmath
import numpy as np
import pytest
import torch
from oracles import assert_mean
from scipy import integrate, optimize, special, stats
from torch import distributions as td
from torch.testing import assert_close

from aelab.models.distributions import SphereUniform, VonMisesFisher, divergence
from aelab.models.distributions.spherical import log_area, mean_length

MANY = [(2, 0.5), (2, 50.0), (3, 1.0), (3, 500.0), (10, 5.0), (50, 0.5), (50, 500.0), (4, 1e4)]
every = pytest.mark.parametrize(("latent", "kappa"), MANY)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def von_mises_fisher(latent, kappa, number=1):
    direction = torch.nn.functional.normalize(torch.randn(latent, dtype=torch.float64), dim=-1)
    return VonMisesFisher(direction.expand(number, latent), double(kappa).expand(number))


def bessel(order, kappa):
    with mpmath.workdps(50):
        return mpmath.besseli(order, kappa)


def angle_density(latent, kappa):
    """The density of the angle between direction and sample, and the points around which it lives."""
    log_norm = float(mpmath.log(bessel(latent / 2 - 1, kappa)))
    log_norm += special.gammaln((latent - 1) / 2) + 0.5 * math.log(math.pi)
    log_norm -= (latent / 2 - 1) * math.log(kappa / 2)
    mode = math.acos(2 * kappa / (latent - 2 + math.hypot(latent - 2, 2 * kappa)))
    width = 1 / math.sqrt(kappa + latent)
    points = sorted({min(max(mode + i * width, 0), math.pi) for i in (-20, -6, -2, 0, 2, 6, 20)})

    def density(t):
        sine = (latent - 2) * math.log(math.sin(t)) if latent > 2 else 0.0
        return math.exp(kappa * math.cos(t) + sine - log_norm)

    return density, points


def cumulative(latent, kappa, angle):
    density, points = angle_density(latent, kappa)
    edges = [1e-12, *(p for p in points if 1e-12 < p < angle), angle]
    pieces = [
        integrate.quad(density, a, b, epsabs=1e-13, epsrel=1e-12)[0] for a, b in itertools.pairwise(edges)
    ]
    return sum(pieces)


@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 300.0])
@pytest.mark.parametrize("latent", [2, 3])
def test_the_density_integrates_to_one(latent, kappa):
    q = VonMisesFisher(double([1.0] + [0.0] * (latent - 1)), double(kappa))

    def integrand(angle):
        z = double([math.cos(angle), math.sin(angle)] + [0.0] * (latent - 2))
        return q.log_prob(z).exp().item() * (2 if latent == 2 else 2 * math.pi * math.sin(angle))

    _, points = angle_density(latent, kappa)
    assert integrate.quad(integrand, 0, math.pi, points=points)[0] == pytest.approx(1, abs=1e-7)


@every
def test_the_density_of_the_angle_integrates_to_one_so_that_it_can_be_an_oracle(latent, kappa):
    assert cumulative(latent, kappa, math.pi) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("kappa", [1e-6, 0.01, 1.0, 4.0, 5.0, 100.0, 1e4, 1e6])
@pytest.mark.parametrize("latent", [2, 3, 10, 50, 400, 1000])
def test_normaliser_and_mean_length_are_ratios_of_bessel_functions_in_many_digits(latent, kappa):
    with mpmath.workdps(50):
        half = mpmath.mpf(latent) / 2
        ratio = bessel(half, kappa) / bessel(half - 1, kappa)
        log_norm = half * mpmath.log(2 * mpmath.pi) + mpmath.log(bessel(half - 1, kappa))
        log_norm -= (half - 1) * mpmath.log(kappa)
        slope = 1 - ratio * (ratio + (latent - 1) / mpmath.mpf(kappa))
    k = double(kappa).requires_grad_()
    length = mean_length(k, latent)
    q = VonMisesFisher(double([1.0] + [0.0] * (latent - 1)), k)
    up, across = q.log_prob(double([1.0] + [0.0] * (latent - 1)))[0], q.log_prob(torch.zeros(1, latent))[0]
    assert length.item() == pytest.approx(float(ratio), rel=1e-9)
    assert across.item() == pytest.approx(-float(log_norm), rel=1e-10, abs=1e-9)
    assert (up - across).item() == pytest.approx(kappa, rel=1e-9)
    assert torch.autograd.grad(length.sum(), k, retain_graph=True)[0].item() == pytest.approx(
        float(slope), rel=1e-5 if kappa <= 1e4 else 0.05
    )
    assert torch.autograd.grad(across, k)[0].item() == pytest.approx(-float(ratio), rel=1e-9)


@pytest.mark.parametrize("kappa", [0.1, 1.0, 10.0, 200.0])
def test_the_mean_length_in_three_dimensions_is_langevins(kappa):
    assert mean_length(double(kappa), 3).item() == pytest.approx(1 / math.tanh(kappa) - 1 / kappa, rel=1e-10)


@every
def test_slopes_are_those_of_finite_differences(latent, kappa):
    step = 1e-4 * kappa
    pole = double([1.0] + [0.0] * (latent - 1))
    for f in (lambda k: mean_length(k, latent), lambda k: VonMisesFisher(pole, k).log_prob(pole)):
        k = double(kappa).requires_grad_()
        (slope,) = torch.autograd.grad(f(k).sum(), k)
        difference = (f(double(kappa + step)) - f(double(kappa - step))) / (2 * step)
        assert slope.item() == pytest.approx(difference.item(), rel=2e-4)


@every
def test_the_mean_is_along_the_direction_and_samples_have_length_one(latent, kappa):
    q = von_mises_fisher(latent, kappa)
    z = q.rsample((7,))
    assert (z.shape, q.batch_shape, q.event_shape) == ((7, 1, latent), (1,), (latent,))
    assert_close(z.norm(dim=-1), torch.ones(7, 1).double())
    assert_close(q.mean[0], mean_length(double(kappa), latent) * q.direction[0])


@every
def test_samples_have_the_mean_and_the_covariance_of_the_distribution(latent, kappa):
    q = von_mises_fisher(latent, kappa)
    z = q.sample((20_000,))[:, 0]
    assert_mean(z, q.mean[0])
    # E[zz'] = (1 - (d - 1) A / k) mu mu' + A / k (I - mu mu'), along random vectors.
    spread, mu = (mean_length(double(kappa), latent) / kappa).item(), q.direction[0]
    v = torch.randn(latent, 5, dtype=torch.float64)
    along = (mu @ v).square()
    expected = (1 - (latent - 1) * spread) * along + spread * (v.square().sum(0) - along)
    assert_mean((z @ v).square(), expected)


@pytest.mark.parametrize(("latent", "kappa"), [(2, 2.0), (3, 0.5), (10, 50.0), (50, 500.0)])
def test_the_angles_of_samples_follow_their_distribution(latent, kappa):
    q = von_mises_fisher(latent, kappa)
    angles = (q.sample((4000,)) * q.direction).sum(-1).clamp(-1, 1).acos().flatten().numpy()
    grid = np.linspace(1e-9, math.pi, 20_001)
    density, _ = angle_density(latent, kappa)
    cdf = integrate.cumulative_trapezoid([density(t) for t in grid[:-1]], grid[:-1], initial=0)
    assert cdf[-1] == pytest.approx(1, abs=1e-4)
    assert stats.kstest(angles, lambda t: np.interp(t, grid[:-1], cdf)).pvalue > 1e-3


@cache
def quantile(latent, kappa, level):
    return optimize.brentq(lambda t: cumulative(latent, kappa, t) - level, 1e-9, math.pi - 1e-9, xtol=1e-14)


@pytest.mark.parametrize("level", [0.02, 0.3, 0.8, 0.98])
@pytest.mark.parametrize("kappa", [0.5, 20.0, 500.0])
@pytest.mark.parametrize("latent", [2, 3, 10, 50])
def test_the_gradient_of_the_angle_is_that_of_the_quantile_function(monkeypatch, latent, kappa, level):
    angle = quantile(latent, kappa, level)
    step = 2e-3 * kappa
    difference = quantile(latent, kappa + step, level) - quantile(latent, kappa - step, level)
    monkeypatch.setattr(
        "aelab.models.distributions.spherical._draw_angle", lambda k, d: torch.full_like(k, angle)
    )
    k = double(kappa).requires_grad_()
    z = VonMisesFisher(double([1.0] + [0.0] * (latent - 1)), k).rsample()
    assert z[0, 0].item() == pytest.approx(math.cos(angle))
    (slope,) = torch.autograd.grad(z[0, 0], k)
    assert slope.item() == pytest.approx(-math.sin(angle) * difference / (2 * step), rel=1e-4)


@pytest.mark.parametrize(("latent", "kappa"), [(2, 0.5), (3, 3.0), (10, 50.0), (50, 20.0)])
def test_the_gradient_of_an_expectation_is_unbiased(latent, kappa):
    count = 10_000
    k = double(kappa).expand(count).clone().requires_grad_()
    raw = torch.randn(latent, dtype=torch.float64).expand(count, latent).clone().requires_grad_()
    weight = torch.randn(latent, dtype=torch.float64)
    q = VonMisesFisher(torch.nn.functional.normalize(raw, dim=-1), k)
    sampled = torch.autograd.grad((q.rsample() @ weight).sum(), [k, raw], retain_graph=True)
    exact = torch.autograd.grad((q.mean @ weight).sum(), [k, raw])
    for ours, truth in zip(sampled, exact, strict=True):
        assert_mean(ours, truth[0])


def test_the_uniform_distribution_has_the_density_of_the_area():
    assert [math.exp(log_area(d)) for d in (1, 2, 3, 4)] == pytest.approx(
        [2, 2 * math.pi, 4 * math.pi, 2 * math.pi**2]
    )
    p = SphereUniform(torch.zeros(3))
    z = p.sample((20_000,))
    assert (p.batch_shape, p.event_shape, z.shape) == ((), (3,), (20_000, 3))
    assert_close(z.norm(dim=-1), torch.ones(20_000))
    assert_close(p.log_prob(z), torch.full((20_000,), -math.log(4 * math.pi)))
    assert_mean(z, torch.zeros(3))
    # Archimedes: each coordinate on the sphere in three dimensions is uniform.
    assert stats.kstest(z[:, 1].numpy(), "uniform", (-1, 2)).pvalue > 1e-3


@every
def test_the_divergence_to_the_uniform_distribution_is_the_mean_log_ratio(latent, kappa):
    q, p = von_mises_fisher(latent, kappa), SphereUniform(torch.zeros(latent))
    kl = divergence(q, p, torch.tensor(math.nan))
    z = q.sample((20_000,))
    assert kl.shape == (1,)
    assert_mean(q.log_prob(z) - p.log_prob(z), kl)


@pytest.mark.parametrize("latent", [2, 3, 50])
def test_the_divergence_vanishes_with_the_concentration_and_its_gradient_is_the_known_one(latent):
    p = SphereUniform(torch.zeros(latent))
    assert 0 <= divergence(von_mises_fisher(latent, 1e-4), p, torch.zeros(())).item() < 1e-8
    k = double(3.0).requires_grad_()
    q = VonMisesFisher(von_mises_fisher(latent, 1.0).direction, k)
    (slope,) = torch.autograd.grad(divergence(q, p, k).sum(), k)
    # d/dk (k A - log C) = k A', A' the variance of the cosine.
    cosine = double(3.0).requires_grad_()
    (variance,) = torch.autograd.grad(mean_length(cosine, latent).sum(), cosine)
    assert_close(slope, 3.0 * variance)


def test_in_two_dimensions_it_is_torchs_von_mises():
    angle, kappa = torch.linspace(-3, 3, 9), torch.full((9,), 2.5)
    z, direction = torch.stack([angle.cos(), angle.sin()], -1), torch.tensor([[0.6, 0.8]]).expand(9, 2)
    theirs = td.VonMises(torch.atan2(torch.tensor(0.8), torch.tensor(0.6)), 2.5)
    assert_close(VonMisesFisher(direction, kappa).log_prob(z), theirs.log_prob(angle))
