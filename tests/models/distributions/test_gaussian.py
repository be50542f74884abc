import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_mean
from scipy import integrate, stats
from torch import distributions as td
from torch.testing import assert_close

from aelab.models.distributions import (
    Bernoulli,
    Gaussian,
    PointMass,
    StandardGaussian,
    bounded,
    divergence,
    has_density,
    rate,
)

SHAPES = {1: (4, 3), 3: (4, 2, 3, 5)}
COUNT = 40_000


def normal(loc, log_variance, dims):
    return td.Independent(td.Normal(loc, (0.5 * log_variance).exp().expand_as(loc)), dims)


PAIRS = {
    "gaussian": lambda a, b, dims: (Gaussian(a, b, dims), normal(a, b, dims)),
    "gaussian of one scale": lambda a, b, dims: (Gaussian(a, b.mean(), dims), normal(a, b.mean(), dims)),
    "bernoulli": lambda a, b, dims: (
        Bernoulli(a, dims),
        td.Independent(td.Bernoulli(logits=a, validate_args=False), dims),
    ),
}
every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
every_event = pytest.mark.parametrize("dims", SHAPES)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def leaves(dims, **options):
    return [torch.randn(SHAPES[dims], requires_grad=True, **options) for _ in "ab"]


@every_event
@every_pair
def test_shapes_and_moments_are_torchs(pair, dims):
    ours, theirs = pair(*leaves(dims), dims)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert_close(ours.mean, theirs.mean)
    assert_close(ours.variance, theirs.variance)
    assert_close(ours.stddev, theirs.stddev)
    assert ours.support.is_discrete == theirs.support.is_discrete


@every_event
@every_pair
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_log_prob_and_its_gradients_are_torchs(pair, dims, dtype):
    parameters = leaves(dims, dtype=dtype)
    ours, theirs = pair(*parameters, dims)
    value = torch.rand(SHAPES[dims], dtype=dtype).requires_grad_()
    assert ours.log_prob(value).shape == ours.batch_shape
    assert_close(ours.log_prob(value), theirs.log_prob(value))
    sources = [*parameters, value]
    gradients = [
        torch.autograd.grad(d.log_prob(value).sum(), sources, allow_unused=True, materialize_grads=True)
        for d in (ours, theirs)
    ]
    assert_close(*gradients)


@every_event
@pytest.mark.parametrize("pair", [PAIRS["gaussian"], PAIRS["gaussian of one scale"]])
def test_entropy_and_its_gradients_are_torchs(pair, dims):
    parameters = leaves(dims)
    ours, theirs = pair(*parameters, dims)
    assert ours.entropy().shape == ours.batch_shape
    assert_close(ours.entropy(), theirs.entropy())
    gradients = [torch.autograd.grad(d.entropy().sum(), parameters[1]) for d in (ours, theirs)]
    assert_close(*gradients)


@pytest.mark.parametrize("values", [0.0, 1.0])
def test_bernoulli_stays_finite_at_huge_logits(values):
    logits = torch.tensor([[-1e4, 1e4]])
    expected = -1e4 * (logits.sign().clamp(min=0) != values).sum(-1)
    assert_close(Bernoulli(logits).log_prob(torch.full((1, 2), values)), expected)


@every_event
@every_pair
def test_samples_have_the_shape_and_the_moments_of_their_distribution(pair, dims):
    ours, _ = pair(*leaves(dims), dims)
    assert ours.sample().shape == SHAPES[dims]
    assert ours.sample((2, 3)).shape == (2, 3, *SHAPES[dims])
    samples = ours.sample((COUNT,))
    assert not samples.requires_grad
    assert_mean(samples, ours.mean.detach())
    assert_mean((samples - ours.mean.detach()).square(), ours.variance.detach())


def test_gaussian_samples_are_gaussian_and_bernoulli_samples_binary():
    samples = Gaussian(torch.full((1,), 3.0), torch.full((1,), 2.0)).sample((COUNT,))
    assert stats.kstest(samples.flatten().numpy(), "norm", (3.0, torch.e)).pvalue > 1e-4
    assert set(Bernoulli(torch.randn(50)).sample((50,)).unique().tolist()) == {0.0, 1.0}


def test_rsample_is_differentiable_in_location_and_log_variance():
    loc, log_variance = leaves(1)
    z = Gaussian(loc, log_variance).rsample()
    by_loc, by_log_variance = torch.autograd.grad(z.sum(), [loc, log_variance])
    assert_close(by_loc, torch.ones_like(loc))
    assert_close(by_log_variance, 0.5 * (z - loc))


@every_pair
def test_distributions_can_be_printed(pair):
    ours, _ = pair(*leaves(1), 1)
    assert type(ours).__name__ in repr(ours)


@pytest.mark.parametrize(
    "pair",
    [
        PAIRS["gaussian"],
        PAIRS["bernoulli"],
    ],
)
def test_log_prob_takes_what_sample_gives(pair):
    ours, theirs = pair(*leaves(1), 1)
    samples = ours.sample((5,))
    assert_close(ours.log_prob(samples), theirs.log_prob(samples))


def test_standard_gaussian_is_the_standard_multivariate_normal():
    ours = StandardGaussian(torch.zeros(3))
    theirs = td.MultivariateNormal(torch.zeros(3), torch.eye(3))
    value = torch.randn(5, 4, 3)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    assert_close(ours.log_prob(value), theirs.log_prob(value))
    assert_close(ours.entropy(), theirs.entropy())
    assert_close(ours.mean, theirs.mean)
    assert_close(ours.variance, theirs.variance)
    assert_mean(ours.sample((COUNT,)).square(), torch.ones(3))


def test_a_point_mass_is_its_value_and_has_no_density():
    value = torch.randn(4, 3, requires_grad=True)
    point = PointMass(value)
    assert (point.batch_shape, point.event_shape) == ((4,), (3,))
    assert_close(point.mean, value)
    assert_close(point.rsample((5,)), value.repeat(5, 1, 1))
    point.rsample((5,)).sum().backward()
    assert_close(value.grad, torch.full_like(value, 5))
    with pytest.raises(NotImplementedError):
        point.log_prob(value)


def test_only_points_and_the_absent_lack_a_density():
    assert not has_density(None)
    assert not has_density(PointMass(torch.zeros(1, 1)))
    assert has_density(StandardGaussian(torch.zeros(2)))
    assert has_density(td.Normal(0.0, 1.0))


def divergent(kind, dims=1):
    """Two distributions of ours and the same two of torch's."""
    a, b, c, d = leaves(dims) + leaves(dims)
    zero = torch.zeros(SHAPES[dims])
    standard = StandardGaussian(zero.new_zeros(SHAPES[1][-1])), normal(zero, zero, dims)
    general, other = PAIRS["gaussian"](a, b, dims), PAIRS["gaussian"](c, d, dims)
    one_scale = PAIRS["gaussian of one scale"](c, d, dims)
    (q, q_torch), (p, p_torch) = {
        "to standard": (general, standard),
        "from standard": (standard, general),
        "one scale to standard": (one_scale, standard),
        "general": (general, other),
        "to one scale": (general, one_scale),
        "from one scale": (one_scale, general),
    }[kind]
    return q, p, q_torch, p_torch, (a, b, c, d)


KINDS = ["to standard", "from standard", "one scale to standard", "general", "to one scale", "from one scale"]


@pytest.mark.parametrize(
    ("kind", "dims"), [*((kind, 1) for kind in KINDS), *((kind, 3) for kind in KINDS[3:])]
)
def test_divergence_and_its_gradients_are_torchs(kind, dims):
    q, p, q_torch, p_torch, parameters = divergent(kind, dims)
    values = divergence(q, p, torch.tensor(torch.nan)), td.kl_divergence(q_torch, p_torch)
    assert values[0].shape == (4,)
    assert_close(*values)
    gradients = [
        torch.autograd.grad(value.sum(), parameters, allow_unused=True, materialize_grads=True)
        for value in values
    ]
    assert_close(*gradients)


@pytest.mark.parametrize("kind", KINDS)
def test_the_rate_is_the_mean_divergence_also_in_its_gradients(kind):
    q, p, *_, parameters = divergent(kind)
    z = q.sample((2,))
    values = rate(q, p, z), divergence(q, p, z).mean()
    assert_close(*values)
    gradients = [
        torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True) for value in values
    ]
    assert_close(*gradients)


def test_log_variances_are_bounded_and_nan_stays_nan():
    wide = torch.tensor([-1e9, -3.0, 7.0, 1e9, torch.nan], requires_grad=True)
    values = bounded(wide)
    assert_close(values, torch.tensor([-30.0, -3.0, 7.0, 20.0, torch.nan]), equal_nan=True)
    values[:-1].sum().backward()
    assert_close(wide.grad, torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0]))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "from standard"])
def test_divergence_is_the_mean_log_ratio(kind):
    q, p, *_ = divergent(kind)
    z = q.sample((COUNT,))
    assert_mean((q.log_prob(z) - p.log_prob(z)).detach(), divergence(q, p, z).detach())


def test_the_gradient_of_the_divergence_to_the_standard_is_the_analytic_one():
    loc, log_variance = leaves(1, dtype=torch.float64)
    q = Gaussian(loc, log_variance)
    value = divergence(q, StandardGaussian(loc.new_zeros(3)), loc)
    by_loc, by_log_variance = torch.autograd.grad(value.sum(), [loc, log_variance])
    assert_close(by_loc, loc)
    assert_close(by_log_variance, 0.5 * (log_variance.exp() - 1))


@given(values=st.lists(st.floats(-5, 5), min_size=4, max_size=4))
def test_divergence_is_never_negative_and_zero_to_itself(values):
    a, b, c, d = torch.tensor(values, dtype=torch.float64)[:, None, None]
    q, p = Gaussian(a, b), Gaussian(c, d)
    assert divergence(q, p, a) >= -1e-12
    assert divergence(q, q, a) == 0


def test_divergence_without_a_closed_form_is_estimated_from_the_samples():
    q = Gaussian(torch.tensor([[0.5]]), torch.tensor([[-0.3]]))
    components = td.Independent(td.Normal(torch.tensor([[-2.0], [1.0]]), torch.tensor([[0.7], [1.5]])), 1)
    p = td.MixtureSameFamily(td.Categorical(torch.tensor([0.3, 0.7])), components)

    def integrand(z):
        z = torch.tensor([[z]], dtype=torch.float32)
        return (q.log_prob(z).exp() * (q.log_prob(z) - p.log_prob(z))).item()

    truth = integrate.quad(integrand, -8, 9, epsabs=1e-6)[0]
    estimates = torch.stack([divergence(q, p, q.sample((100,))) for _ in range(400)])
    assert estimates.shape == (400, 1)
    assert_mean(estimates, torch.tensor([truth]))


def test_the_estimate_agrees_with_the_closed_form_and_carries_its_gradient():
    loc = torch.full((1, 3), 0.4, requires_grad=True)
    q, p = Gaussian(loc, torch.full((1, 3), -0.5)), normal(torch.zeros(3), torch.zeros(3), 1)
    gradients = torch.stack(
        [torch.autograd.grad(divergence(q, p, q.rsample((20,))).sum(), loc)[0] for _ in range(400)]
    )
    assert_mean(gradients, loc.detach())
