"""Terms of the aggregate posterior, held against closed forms and naive implementations."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import undecoded
from torch.distributions import Categorical as Weights
from torch.distributions import Independent, MixtureSameFamily, Normal
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models.distributions import Gaussian, PointMass, StandardGaussian
from aelab.objectives.aggregate import (
    DIPI,
    DIPII,
    MMD,
    DimensionwiseKL,
    MutualInformation,
    TotalCorrelation,
    mmd,
)
from aelab.objectives.kernels import RBF, InverseMultiquadric

few = settings(max_examples=20, deadline=None)
sizes = st.integers(1, 12)
MODEL = SimpleNamespace()
DECOMPOSITION = (MutualInformation(), TotalCorrelation(), DimensionwiseKL())


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def standard(latent):
    return StandardGaussian(torch.zeros(latent, dtype=torch.float64))


def trace(posterior, prior=None, z=None):
    count, latent = len(posterior.mean), posterior.mean.shape[-1]
    x = torch.zeros(count, 1)
    z = posterior.rsample((1,)) if z is None else z
    return Trace(Batch(x), x, None, posterior, prior or standard(latent), z, undecoded)


def gaussian(loc, log_variance):
    return Gaussian(loc, log_variance + torch.zeros_like(loc))


def values(made):
    return [term(made, MODEL).item() for term in DECOMPOSITION]


# The decomposition of the rate.


@few
@given(sizes, st.integers(1, 4), st.integers(0, 10))
def test_the_decomposition_adds_up_to_the_rate_of_the_same_codes(count, latent, seed):
    torch.manual_seed(seed)
    prior = gaussian(draw(latent, seed=seed + 1), 0.3)
    made = trace(gaussian(*draw(2, count, latent, seed=seed)), prior)
    rate = (made.posterior.log_prob(made.z) - prior.log_prob(made.z)).mean().item()
    assert sum(values(made)) == pytest.approx(rate, abs=1e-10)


def test_the_aggregate_posterior_is_the_mixture_over_the_batch():
    made = trace(gaussian(*draw(2, 7, 3)))
    q, z = made.posterior, made.z[0]
    even = Weights(torch.ones(7).double())
    whole = MixtureSameFamily(even, Independent(Normal(q.loc, q.stddev), 1)).log_prob(z)
    marginals = [
        MixtureSameFamily(even, Normal(q.loc[:, i], q.stddev[:, i])).log_prob(z[:, i]) for i in range(3)
    ]
    product = torch.stack(marginals).sum(0)
    expected = [q.log_prob(z) - whole, whole - product, product - made.prior.log_prob(z)]
    assert values(made) == pytest.approx([e.mean().item() for e in expected])


@few
@given(sizes, st.integers(0, 10))
def test_the_batch_cannot_tell_more_than_the_logarithm_of_its_size(count, seed):
    torch.manual_seed(seed)
    made = trace(gaussian(30 * draw(count, 2, seed=seed), draw(count, 2) - 3))
    information = values(made)[0]
    assert information <= math.log(count) + 1e-9
    if count == 1:
        assert information == pytest.approx(0, abs=1e-12)


def test_two_points_far_apart_share_the_logarithm_of_two_in_each_dimension():
    # Each code tells which point it came from, and either of its dimensions tells the other.
    loc = torch.tensor([[-50.0, -50.0], [50.0, 50.0]]).double()
    made = trace(gaussian(loc, torch.tensor(0.0)))
    assert values(made)[:2] == pytest.approx([math.log(2), math.log(2)])
    square = torch.tensor([[-50.0, -50.0], [-50.0, 50.0], [50.0, -50.0], [50.0, 50.0]]).double()
    assert values(trace(gaussian(square, torch.tensor(0.0))))[:2] == pytest.approx([math.log(4), 0], abs=1e-9)


def test_posteriors_that_are_alike_have_the_divergence_in_their_dimensions_alone():
    q = gaussian(torch.tensor([0.5, -1.0]).double().expand(40, 2), torch.tensor(-0.5))
    made = trace(q)
    rate = (q.log_prob(made.z) - made.prior.log_prob(made.z)).mean().item()
    assert values(made) == pytest.approx([0, 0, rate], abs=1e-10)


def test_a_factorised_aggregate_has_no_total_correlation_and_a_correlated_one_has():
    torch.manual_seed(0)
    correlations = {}
    for rho in (0.0, 0.8):
        estimates = []
        for _ in range(20):
            first, second = torch.randn(2, 250, dtype=torch.float64)
            loc = torch.stack([first, rho * first + (1 - rho**2) ** 0.5 * second], -1)
            estimates.append(values(trace(gaussian(loc, torch.tensor(0.0))))[1])
        correlations[rho] = torch.tensor(estimates)
    # The aggregate is N(0, C), variances 2 and covariance rho: TC = -log(1 - (rho / 2)^2) / 2. In a batch a
    # code meets its own posterior once, hence a bias of the order of 1 / batch.
    for rho, found in correlations.items():
        expected = -0.5 * math.log(1 - (rho / 2) ** 2)
        assert abs(found.mean() - expected) < 4 * found.std() / 20**0.5 + 2 / 250
    assert correlations[0.8].mean() > 0.07


@pytest.mark.parametrize("training_set", [10, 60_000])
def test_minibatch_weighted_sampling_has_the_same_gradients(training_set):
    loc, log_variance = (v.requires_grad_() for v in draw(2, 9, 3).unbind())
    made = trace(gaussian(loc, log_variance))
    pairs = Normal(loc, (0.5 * log_variance).exp()).log_prob(made.z[0][:, None])
    log_norm = math.log(training_set * 9)
    log_q = pairs.sum(-1).logsumexp(1) - log_norm
    log_marginals = (pairs.logsumexp(1) - log_norm).sum(-1)
    reference = [
        (made.posterior.log_prob(made.z[0]) - log_q).mean(),
        (log_q - log_marginals).mean(),
        (log_marginals - made.prior.log_prob(made.z[0])).mean(),
    ]
    for term, expected in zip(DECOMPOSITION, reference, strict=True):
        value = term(made, MODEL)
        assert abs(value - expected) > 0.1
        found = torch.autograd.grad(value, (loc, log_variance), retain_graph=True)
        assert_close(found, torch.autograd.grad(expected, (loc, log_variance), retain_graph=True))


@pytest.mark.parametrize("term", [*DECOMPOSITION, DIPI(), DIPII()])
def test_an_aggregate_of_anything_but_gaussians_is_refused(term):
    with pytest.raises(ConfigurationError, match="posterior=diagonal_gaussian"):
        term(trace(PointMass(draw(5, 2))), MODEL)


# DIP-VAE.

# Means whose covariance is known: (2, 0), (-2, 0), (0, 1), (0, -1) turned by 45 degrees.
CROSS = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]).double()
TURN = torch.tensor([[1.0, -1.0], [1.0, 1.0]]).double() / 2**0.5  # covariance [[1.25, 0.75], [0.75, 1.25]]


def dip(term, loc, variance):
    return term(trace(gaussian(loc, torch.tensor(variance).double().log())), MODEL).item()


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_dip_of_a_covariance_by_hand(shift):
    loc = CROSS @ TURN.T + shift
    assert dip(DIPI(3.0, 7.0), loc, 0.5) == pytest.approx(3 * 2 * 0.75**2 + 7 * 2 * 0.25**2)
    # The mean variance of the codes, 0.5, is added on the diagonal.
    assert dip(DIPII(3.0, 7.0), loc, 0.5) == pytest.approx(3 * 2 * 0.75**2 + 7 * 2 * 0.75**2)
    assert dip(DIPI(0.0, 7.0), CROSS, 0.5) == pytest.approx(7 * (1 + 0.5**2))


def test_dip_averages_the_variances_over_the_batch():
    loc = torch.tensor([[1.0], [-1.0]]).double().expand(2, 2) * torch.tensor([1.0, 0.0])
    variances = torch.tensor([[1.0, 0.5], [3.0, 0.7]]).double()  # means 2 and 0.6
    made = trace(Gaussian(loc.double(), variances.log()))
    assert DIPII(5.0, 10.0)(made, MODEL).item() == pytest.approx(10 * ((3 - 1) ** 2 + (0.6 - 1) ** 2))


def test_codes_of_covariance_identity_pay_nothing():
    square = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]).double()
    assert dip(DIPI(), square, 0.3) == pytest.approx(0, abs=1e-12)
    assert dip(DIPII(), 0.6 * square, 1 - 0.36) == pytest.approx(0, abs=1e-12)
    assert dip(DIPI(), 0.6 * square, 1 - 0.36) > 1


def test_dip_of_one_dimension_has_no_covariance():
    loc = torch.tensor([[2.0], [-2.0]]).double()
    assert dip(DIPI(10.0, 1.0), loc, 0.5) == pytest.approx((4 - 1) ** 2)
    assert dip(DIPII(10.0, 1.0), loc, 0.5) == pytest.approx((4.5 - 1) ** 2)


# Maximum mean discrepancy.


def expected_rbf(shift, first, second, scales):
    """E k(x, y), x ~ N(0, first I) and y ~ N(shift, second I), summed over the scales."""
    latent, total = len(shift), 0.0
    for scale in scales:
        width = scale * latent  # the kernel is exp(-|x - y|^2 / (2 width))
        wider = width + first + second
        total += (width / wider) ** (latent / 2) * math.exp(-(shift.square().sum().item()) / (2 * wider))
    return total


@pytest.mark.parametrize("scales", [(1.0,), (0.1, 1.0, 5.0)])
@pytest.mark.parametrize(
    ("shift", "variance"),
    [([0.0, 0.0], 1.0), ([1.0, -0.5], 1.0), ([0.3, 0.0], 2.0), ([2.0], 0.5)],
)
def test_the_discrepancy_of_gaussians_is_the_closed_form(scales, shift, variance):
    shift = torch.tensor(shift).double()
    torch.manual_seed(0)
    estimates = []
    for _ in range(400):
        x = torch.randn(16, len(shift), dtype=torch.float64) * variance**0.5 + shift
        y = torch.randn(24, len(shift), dtype=torch.float64)
        estimates.append(mmd(x, y, RBF(scales)))
    nowhere = torch.zeros_like(shift)
    expected = (
        expected_rbf(nowhere, variance, variance, scales)
        + expected_rbf(nowhere, 1, 1, scales)
        - 2 * expected_rbf(shift, 1, variance, scales)
    )
    found = torch.stack(estimates)
    # Unbiased: where nothing differs, half of the estimates are below 0.
    assert abs(found.mean() - expected) < 4 * found.std() / 400**0.5
    assert (expected == pytest.approx(0, abs=1e-12)) == (not shift.any() and variance == 1)


@few
@given(st.integers(2, 6), st.integers(2, 6), st.integers(1, 3))
def test_the_discrepancy_and_its_kernels_are_their_formulas(n, m, latent):
    x, y = draw(n, latent), draw(m, latent, seed=1)
    scales = (0.1, 1.0, 5.0)

    def square(a, b):
        return sum((i - j) ** 2 for i, j in zip(a.tolist(), b.tolist(), strict=True))

    def multiquadric(a, b):
        return sum(2 * latent * s / (2 * latent * s + square(a, b)) for s in scales)

    def radial(a, b):
        return sum(math.exp(-square(a, b) / (2 * latent * s)) for s in scales)

    for kernel, naive in ((InverseMultiquadric(scales), multiquadric), (RBF(scales), radial)):
        within = [
            sum(naive(v[i], v[j]) for i in range(k) for j in range(k) if i != j) / (k * (k - 1))
            for v, k in ((x, n), (y, m))
        ]
        across = sum(naive(a, b) for a in x for b in y) / (n * m)
        assert mmd(x, y, kernel).item() == pytest.approx(sum(within) - 2 * across)


def test_codes_are_compared_with_draws_of_the_prior():
    torch.manual_seed(0)
    for shift in (0.0, 1.0):
        found = torch.stack(
            [
                MMD(kernel=RBF())(trace(PointMass(torch.randn(20, 2).double() + shift)), MODEL)
                for _ in range(300)
            ]
        )
        moved = torch.full((2,), shift).double()
        expected = 2 * (expected_rbf(0 * moved, 1, 1, (1.0,)) - expected_rbf(moved, 1, 1, (1.0,)))
        assert abs(found.mean() - expected) < 4 * found.std() / 300**0.5


def test_codes_that_follow_a_conditional_prior_have_no_discrepancy():
    # Each code follows the prior of its own, distant condition: the aggregates are alike.
    torch.manual_seed(0)
    loc = torch.tensor([[-4.0], [4.0]]).double()
    estimates = []
    for _ in range(400):
        drawn = loc[torch.randint(2, (8,))]
        prior = gaussian(drawn, torch.tensor(-2.0))
        estimates.append(MMD(kernel=RBF((0.2,)))(trace(PointMass(prior.sample()), prior), MODEL))
    found = torch.stack(estimates)
    assert abs(found.mean()) < 4 * found.std() / 400**0.5


def test_the_discrepancy_pulls_codes_towards_the_prior():
    torch.manual_seed(0)
    loc = (torch.randn(200, 2).double() + 2).requires_grad_()
    (found,) = torch.autograd.grad(MMD()(trace(PointMass(loc)), MODEL), loc)
    assert (found.mean(0) > 0).all()


def test_a_lone_observation_at_the_end_of_an_epoch_is_compared_with_nothing():
    loc = draw(1, 2).requires_grad_()
    value = MMD()(trace(PointMass(loc)), MODEL)
    assert value == 0
    (value + loc.sum()).backward()
    assert_close(loc.grad, torch.ones(1, 2).double())


def test_the_discrepancy_needs_a_prior():
    made = trace(PointMass(draw(5, 2)))
    with pytest.raises(ConfigurationError, match="prior=standard_normal"):
        MMD()(replace(made, prior=None), MODEL)
