import pytest
import torch
from oracles import assert_mean
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.distributions import (
    Bernoulli,
    Chain,
    Gaussian,
    Joint,
    OneHot,
    PointMass,
    SphereUniform,
    StandardGaussian,
    Transported,
    VonMisesFisher,
    WrappedNormal,
    check_same_space,
    distortion,
    divergence,
    frozen,
)

COUNT = 20_000
SIZE = 3


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def leaf(*shape):
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def full(loc, root):
    factor = root.tril(-1) + root.diagonal(dim1=-2, dim2=-1).exp().diag_embed()
    return td.MultivariateNormal(loc, scale_tril=factor, validate_args=False)


def low_rank(loc, root):
    columns, log_variance = root[..., :2], root[..., 2]
    return td.LowRankMultivariateNormal(loc, columns, log_variance.exp(), validate_args=False)


correlated = pytest.mark.parametrize("family", [full, low_rank])


@correlated
def test_correlated_gaussians_diverge_from_the_standard_one_as_torch_says(family):
    parameters = [leaf(4, SIZE), leaf(4, SIZE, SIZE)]
    q = family(*parameters)
    zeros = torch.zeros(SIZE, dtype=torch.float64)
    ours = divergence(q, StandardGaussian(zeros), torch.tensor(torch.nan))
    theirs = td.kl_divergence(q, td.MultivariateNormal(zeros, torch.eye(SIZE, dtype=torch.float64)))
    assert_close(ours, theirs)
    gradients = [torch.autograd.grad(kl.sum(), parameters, retain_graph=True) for kl in (ours, theirs)]
    assert_close(*gradients)
    assert_close(gradients[0][0], parameters[0].detach())


@correlated
def test_correlated_gaussians_diverge_by_their_mean_log_ratio(family):
    q, p = family(leaf(4, SIZE), leaf(4, SIZE, SIZE)), StandardGaussian(torch.zeros(SIZE).double())
    z = q.sample((COUNT,))
    assert_mean((q.log_prob(z) - p.log_prob(z)).detach(), divergence(q, p, z).detach())


def test_the_distortion_is_minus_the_mean_log_likelihood_of_any_distribution():
    x, params = (torch.rand(6, SIZE) < 0.5).float(), torch.randn(2, 6, SIZE)
    for p in (Bernoulli(params), Gaussian(params, torch.zeros(()))):
        assert_close(distortion(p, x), -p.log_prob(x).mean())


def sphere(batch=4):
    return VonMisesFisher(nn.functional.normalize(leaf(batch, SIZE), dim=-1), leaf(batch).exp())


def gaussian(batch=4, size=SIZE):
    return Gaussian(leaf(batch, size), leaf(batch, size))


def one_hot(groups=1, categories=SIZE):
    return OneHot(leaf(4, groups, categories))


def mixture(components):
    return td.MixtureSameFamily(td.Categorical(torch.ones(4)), components, validate_args=False)


REAL, SPHERE = StandardGaussian(torch.zeros(SIZE)), SphereUniform(torch.zeros(SIZE))
CATEGORIES = OneHot(torch.zeros(1, SIZE))
JOINT = Joint({"a": StandardGaussian(torch.zeros(2)), "b": CATEGORIES})
HOMES = {"real": (gaussian, REAL), "sphere": (sphere, SPHERE), "one-hot": (one_hot, CATEGORIES)}
HOMES["joint"] = (lambda: Joint({"a": gaussian(size=2), "b": one_hot()}), JOINT)


@pytest.mark.parametrize("theirs", HOMES)
@pytest.mark.parametrize("ours", HOMES)
def test_codes_must_lie_where_the_prior_has_its_density(ours, theirs):
    q, p = HOMES[ours][0](), HOMES[theirs][1]
    if ours == theirs:
        check_same_space(q, p)
    else:
        with pytest.raises(ConfigurationError, match="prior="):
            check_same_space(q, p)


def test_the_parts_of_joint_codes_must_lie_alike():
    for parts in ({"a": gaussian(size=3), "b": one_hot()}, {"b": one_hot(), "a": gaussian(size=2)}):
        with pytest.raises(ConfigurationError, match="prior=joint"):
            check_same_space(Joint(parts), JOINT)


def test_mixtures_lie_where_their_components_do():
    check_same_space(gaussian(), mixture(gaussian()))
    check_same_space(sphere(), mixture(sphere()))
    with pytest.raises(ConfigurationError, match="uniform_sphere"):
        check_same_space(sphere(), mixture(gaussian()))


FROZEN = {
    "diagonal": lambda a, b: Gaussian(a, b[..., 0]),
    "full": full,
    "low rank": low_rank,
    "ball": lambda a, b: WrappedNormal(0.5 * nn.functional.normalize(a, dim=-1), b[..., 0]),
    "sphere": lambda a, b: VonMisesFisher(nn.functional.normalize(a, dim=-1), b[:, 0, 0].exp()),
    "joint": lambda a, b: Joint({"a": Gaussian(a, b[..., 0]), "b": Gaussian(a, b[..., 1])}),
    "torch's": lambda a, b: td.Independent(td.Normal(a, b[..., 0].exp()), 1),
    "mixture": lambda a, b: mixture(Gaussian(a, b[..., 0])),
}


@pytest.mark.parametrize("family", FROZEN.values(), ids=FROZEN)
def test_frozen_distributions_keep_their_values_and_the_path_alone(family):
    parameters = [leaf(4, SIZE), leaf(4, SIZE, SIZE)]
    q = family(*parameters)
    z = q.sample((5,)).requires_grad_()
    held = frozen(q)
    assert type(held) is type(q)
    assert (held.batch_shape, held.event_shape) == (q.batch_shape, q.event_shape)
    assert_close(held.log_prob(z), q.log_prob(z))
    by_path = torch.autograd.grad(held.log_prob(z).sum(), z)
    assert_close(by_path, torch.autograd.grad(q.log_prob(z).sum(), z))
    assert not held.log_prob(z.detach()).requires_grad
    # The original is not touched.
    assert all(g.abs().sum() > 0 for g in torch.autograd.grad(q.log_prob(z).sum(), parameters))


def test_the_gradient_through_a_frozen_gaussian_is_that_of_the_path():
    loc, log_variance = leaf(4, SIZE), leaf(4, SIZE)
    q = Gaussian(loc, log_variance)
    z = q.rsample()
    by_loc, by_log_variance = torch.autograd.grad(frozen(q).log_prob(z).sum(), [loc, log_variance])
    slope = -(z - loc) / log_variance.exp()
    assert_close(by_loc, slope)
    assert_close(by_log_variance, 0.5 * slope * (z - loc))


def test_densities_that_are_more_than_formulas_are_not_frozen():
    carried = Transported(gaussian(), lambda e: (e, e[..., 0]), SIZE)
    chain = Chain(gaussian(), [lambda z: Gaussian(z, z)], [SIZE, SIZE], upwards=True)
    transformed = td.TransformedDistribution(gaussian(), [td.AffineTransform(0.0, 2.0)], validate_args=False)
    for q in (carried, chain, transformed, Joint({"a": chain, "b": gaussian()}), td.Independent(chain, 0)):
        with pytest.raises(ConfigurationError, match="diagonal_gaussian"):
            frozen(q)


def test_a_point_stays_a_point():
    assert not frozen(PointMass(leaf(4, SIZE))).mean.requires_grad
