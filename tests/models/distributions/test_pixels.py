import math

import numpy as np
import pytest
import torch
from oracles import assert_mean
from scipy import integrate, stats
from torch import distributions as td
from torch.testing import assert_close

from aelab.models.distributions import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Independent,
    LogCosh,
    LogisticMixture,
    Masked,
    ProfiledGaussian,
)

COUNT = 20_000
SHARPNESSES = [0.1, 0.5, 1.0, 10.0, 100.0]
every_sharpness = pytest.mark.parametrize("sharpness", SHARPNESSES)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def log_cosh_density(sharpness, scale):
    """exp(-log cosh(a x / s) / a), normalised by quadrature."""

    def raw(x):
        size = abs(sharpness * x / scale)
        return math.exp(-(size + math.log1p(math.exp(-2 * size)) - math.log(2)) / sharpness)

    width = scale / math.sqrt(sharpness) * max(1, math.sqrt(sharpness))
    points = [width * i for i in (-8, -2, -0.5, 0, 0.5, 2, 8)]
    total = integrate.quad(raw, -60 * width, 60 * width, points=points, limit=400)[0]
    return (lambda x: raw(x) / total), width


@every_sharpness
@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_the_log_cosh_density_is_normalised(sharpness, scale):
    p = LogCosh(double(0.3), double(math.log(scale)), sharpness)
    truth, width = log_cosh_density(sharpness, scale)
    for x in (0.0, 0.1 * width, -width, 5 * width, 20 * width):
        assert p.log_prob(double(0.3 + x)).item() == pytest.approx(math.log(truth(x)), abs=1e-6)


@every_sharpness
def test_log_cosh_samples_follow_their_distribution(sharpness):
    p = LogCosh(torch.full((1,), 0.3), torch.tensor(math.log(0.2)), sharpness)
    truth, width = log_cosh_density(sharpness, 0.2)
    grid = np.linspace(-40 * width, 40 * width, 40_001)
    cdf = integrate.cumulative_trapezoid([truth(x) for x in grid], grid, initial=0)
    assert cdf[-1] == pytest.approx(1, abs=1e-3)
    samples = p.sample((5000,)).flatten().numpy() - 0.3
    assert stats.kstest(samples, lambda x: np.interp(x, grid, cdf)).pvalue > 1e-3


def test_log_cosh_is_the_hyperbolic_secant_at_one_and_tends_to_gaussian_and_laplace():
    x = torch.linspace(-3, 3, 25, dtype=torch.float64)[:, None]
    zero = torch.zeros(1, dtype=torch.float64)
    secant = -torch.log(torch.cosh(x[:, 0])) - math.log(math.pi)
    assert_close(LogCosh(zero, zero, 1.0).log_prob(x), secant)
    a = 1e-4
    gaussian = LogCosh(zero, torch.tensor(0.5 * math.log(a)), a).log_prob(x)
    assert_close(gaussian, td.Normal(0.0, 1.0).log_prob(x)[:, 0], atol=1e-2, rtol=0)
    laplace = LogCosh(zero, zero, 1e4).log_prob(x)
    assert_close(laplace, td.Laplace(0.0, 1.0).log_prob(x)[:, 0], atol=1e-3, rtol=0)


@every_sharpness
def test_log_cosh_stays_finite_far_away_with_a_slope_of_one_scale(sharpness):
    x = torch.tensor([-1e6, 0.0, 1e6], requires_grad=True)
    nats = LogCosh(torch.zeros(3), torch.tensor(math.log(0.1)), sharpness).log_prob(x)
    (slope,) = torch.autograd.grad(nats, x)
    assert nats.isfinite()
    assert_close(slope, torch.tensor([10.0, 0.0, -10.0]))


@pytest.mark.parametrize("logit", [-30.0, -2.0, -0.04, 0.0, 0.06, 5.0])
def test_continuous_bernoulli_samples_follow_their_distribution(logit):
    p = ContinuousBernoulli(torch.full((1,), logit))
    samples = p.sample((COUNT,))
    near = abs(logit) < 0.05  # where samples are uniform, up to less than a KS test of this size can tell
    theirs = stats.uniform().cdf if near else lambda x: np.expm1(logit * x) / math.expm1(logit)
    assert stats.kstest(samples.flatten().numpy(), theirs).pvalue > 1e-3
    if not near:
        assert_mean(samples, p.mean)


def test_continuous_bernoulli_is_torchs_and_its_gradient_is_value_less_mean():
    logits = torch.linspace(-9, 9, 200, dtype=torch.float64).requires_grad_()
    x = torch.rand(200, dtype=torch.float64)
    p = ContinuousBernoulli(logits)
    theirs = td.ContinuousBernoulli(logits=logits)
    assert_close(p.each(x), theirs.log_prob(x), atol=1e-5, rtol=1e-5)
    assert_close(p.mean, theirs.mean, atol=1e-5, rtol=1e-5)
    (slope,) = torch.autograd.grad(p.log_prob(x), logits)
    assert_close(slope, (x - p.mean).detach(), atol=1e-6, rtol=1e-5)


def test_the_gradient_of_continuous_bernoulli_is_finite_where_pixels_saturate():
    logits = torch.tensor([-1e4, -90.0, 0.0, 90.0, 1e4], requires_grad=True)
    p = ContinuousBernoulli(logits)
    (slope,) = torch.autograd.grad(p.log_prob(torch.full((5,), 0.3)), logits)
    assert_close(slope, (0.3 - p.mean).detach(), atol=1e-4, rtol=1e-4)
    assert p.sample((100,)).isfinite().all()


def profiled(loc, seen=None):
    return ProfiledGaussian(loc, seen.append if seen is not None else lambda _: None, 3)


def test_the_profiled_gaussian_has_the_greatest_likelihood_over_scales():
    loc, x, seen = torch.randn(2, 4, 3, 2, 2), torch.randn(4, 3, 2, 2), []
    best = profiled(loc, seen).log_prob(x)
    assert best.shape == (2, 4)
    mse = (x - loc).square().mean()
    assert_close(seen[0], mse.log())
    assert_close(best, Gaussian(loc, mse.log(), 3).log_prob(x))
    for factor in (0.8, 0.98, 1.02, 1.25):
        assert Gaussian(loc, (factor * mse).log(), 3).log_prob(x).sum() < best.sum()


def test_the_gradient_of_the_profiled_gaussian_is_that_of_the_log_of_the_squared_error():
    loc, x = torch.randn(2, 4, 3, 2, 2, requires_grad=True), torch.randn(4, 3, 2, 2)
    ours = torch.autograd.grad(profiled(loc).log_prob(x).sum(), loc)
    half_log = 0.5 * loc.numel() * (x - loc).square().mean().log()
    assert_close(ours, torch.autograd.grad(-half_log, loc))


def test_the_profiled_gaussian_stays_finite_where_the_error_is_zero():
    loc = torch.randn(2, 4, 3, 2, 2, requires_grad=True)
    nats = profiled(loc).log_prob(loc.detach())
    nats.sum().backward()
    assert nats.isfinite().all()
    assert loc.grad.isfinite().all()


def mixture(loc):
    shape = (*loc.shape[:2], 2, *loc.shape[2:])
    return LogisticMixture(
        torch.randn(*shape[:3], 2, 2), torch.randn(shape), torch.randn(shape), torch.randn(shape), 16
    )


BASES = {
    "bernoulli": lambda loc: Bernoulli(loc, 3),
    "continuous bernoulli": lambda loc: ContinuousBernoulli(loc, 3),
    "gaussian": lambda loc: Gaussian(loc, torch.tensor(-1.0), 3),
    "log-cosh": lambda loc: LogCosh(loc, torch.tensor(-1.0), 2.0, 3),
    "laplace": lambda loc: Independent(td.Laplace(loc, 0.3), 3),
    "student": lambda loc: Independent(td.StudentT(5.0, loc, 0.3), 3),
    "mixture": mixture,
}
every_base = pytest.mark.parametrize("base", BASES.values(), ids=BASES)
HIDDEN = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])


@every_base
def test_only_hidden_pixels_have_a_density(base):
    base, x = base(torch.randn(2, 4, 3, 2, 2)), torch.rand(4, 3, 2, 2)
    p = Masked(base, HIDDEN, x)
    assert (p.batch_shape, p.event_shape) == ((2, 4), (3, 2, 2))
    expected = sum(base.each(x)[..., i, j].sum(-1) for i, j in [(0, 0), (1, 0), (1, 1)])
    assert_close(p.log_prob(x), expected)
    other = torch.where(HIDDEN == 1, x, torch.rand(4, 3, 2, 2))
    assert_close(p.log_prob(other), expected)
    assert (p.log_prob(torch.rand(4, 3, 2, 2)) != expected).all()


@every_base
def test_visible_pixels_are_kept_in_means_and_samples(base):
    base, x = base(torch.randn(2, 4, 3, 2, 2)), torch.rand(4, 3, 2, 2)
    p = Masked(base, HIDDEN, x)
    torch.manual_seed(1)
    drawn = p.sample((5,))
    torch.manual_seed(1)
    assert_close(drawn[..., HIDDEN[0] == 1], base.sample((5,))[..., HIDDEN[0] == 1])
    assert torch.equal(drawn[..., 0, 1], x[..., 0, 1].expand(5, 2, 4, 3))
    assert torch.equal(p.mean[..., 0, 1], x[..., 0, 1].expand(2, 4, 3))
    assert_close(p.mean[..., HIDDEN[0] == 1], base.mean[..., HIDDEN[0] == 1])


def test_all_hidden_is_no_mask():
    base, x = Bernoulli(torch.randn(2, 4, 3, 2, 2), 3), torch.rand(4, 3, 2, 2)
    assert_close(Masked(base, torch.ones(1, 2, 2), x).log_prob(x), base.log_prob(x))


def test_the_profiled_variance_of_a_masked_likelihood_is_that_of_the_hidden_pixels():
    loc, x, seen = torch.randn(2, 4, 3, 2, 2, requires_grad=True), torch.randn(4, 3, 2, 2), []
    nats = Masked(profiled(loc, seen), HIDDEN, x).log_prob(x)
    square = (x - loc).square()[..., HIDDEN[0] == 1]
    assert_close(seen[0], square.mean().log().detach())
    (slope,) = torch.autograd.grad(nats.sum(), loc, retain_graph=True)
    assert_close(slope, torch.autograd.grad(-0.5 * square.numel() * square.mean().log(), loc)[0])
    assert (slope[..., 0, 1] == 0).all()
