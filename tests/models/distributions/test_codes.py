import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import assert_mean, jacobian
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.distributions import (
    Chain,
    Gaussian,
    Joint,
    OneHot,
    StandardGaussian,
    Transported,
    divergence,
    rsample_and_log_prob,
)

COUNT = 20_000


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def split(z):
    return z.unflatten(-1, (2, 3))


def test_relaxed_samples_lie_on_the_simplex():
    z = split(OneHot(3 * torch.randn(4, 2, 3), 0.5).rsample((50,)))
    assert (z > 0).all()
    assert_close(z.sum(-1), torch.ones(50, 4, 2))


def test_relaxed_samples_tend_to_vertices_as_the_temperature_falls_and_to_the_centre_as_it_rises():
    logits = torch.randn(1, 2, 3)

    def farthest(temperature):
        return split(OneHot(logits, temperature).sample((2000,))).amax(-1).mean().item()

    heights = [farthest(t) for t in (1e-3, 0.1, 0.5, 2.0, 1e3)]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 0.995
    assert heights[-1] == pytest.approx(1 / 3, abs=0.01)


@pytest.mark.parametrize("temperature", [None, 1e-4, 0.67, 5.0])
def test_the_largest_category_has_its_probability_at_every_temperature(temperature):
    q = OneHot(torch.randn(4, 2, 3), temperature)
    z = split(q.sample((COUNT,)))
    drawn = nn.functional.one_hot(z.argmax(-1), 3).float()
    assert_mean(drawn, split(q.mean))


def test_relaxed_samples_are_of_torchs_relaxed_distribution():
    logits = torch.tensor([1.0, -0.5])
    ours = OneHot(logits[None], 0.7).sample((COUNT,))[:, 0]
    theirs = td.RelaxedOneHotCategorical(torch.tensor(0.7), logits=logits).sample((COUNT,))[:, 0]
    for power in (1, 2, 3):
        expected = theirs.pow(power)
        error = math.hypot(ours.pow(power).std(), expected.std()) / COUNT**0.5
        assert abs(ours.pow(power).mean() - expected.mean()) < 5 * error


def test_exact_samples_are_one_hot_and_have_torchs_probabilities_and_entropy():
    logits = torch.randn(4, 2, 3)
    ours, theirs = OneHot(logits), td.Independent(td.OneHotCategorical(logits=logits), 1)
    z = ours.sample((5,))
    assert (ours.batch_shape, ours.event_shape, z.shape) == ((4,), (6,), (5, 4, 6))
    assert set(z.unique().tolist()) == {0.0, 1.0}
    assert_close(split(z).sum(-1), torch.ones(5, 4, 2))
    assert_close(split(ours.mean), theirs.mean)
    assert_close(ours.log_prob(z), theirs.log_prob(split(z)))
    assert_close(ours.entropy(), theirs.entropy())


def test_the_density_of_relaxed_samples_is_refused():
    q = OneHot(torch.randn(4, 2, 3), 0.5)
    with pytest.raises(ConfigurationError, match="relaxed"):
        q.log_prob(q.sample())


def test_relaxed_samples_carry_a_gradient_and_exact_ones_none():
    logits = torch.randn(4, 2, 3, requires_grad=True)
    weight = torch.randn(6)
    (slope,) = torch.autograd.grad((OneHot(logits, 0.5).rsample() @ weight).sum(), logits)
    assert slope.abs().min() > 0
    assert not OneHot(logits).rsample().requires_grad


@given(values=st.lists(st.floats(-8, 8), min_size=12, max_size=12))
def test_the_divergence_of_categories_is_torchs_never_negative_and_zero_to_itself(values):
    a, b = torch.tensor(values, dtype=torch.float64).unflatten(0, (2, 1, 2, 3))
    q, p = OneHot(a, 0.5), OneHot(b)
    expected = td.kl_divergence(td.Categorical(logits=a), td.Categorical(logits=b)).sum(-1)
    assert_close(divergence(q, p, a), expected)
    assert divergence(q, p, a) >= -1e-12
    assert divergence(q, q, a) == 0


def test_the_divergence_to_uniform_categories_is_what_entropy_lacks():
    q = OneHot(torch.randn(4, 2, 3))
    assert_close(divergence(q, OneHot(torch.zeros(2, 3)), torch.zeros(())), 2 * math.log(3) - q.entropy())


def parts(discrete=True, temperature=None):
    gaussian = Gaussian(torch.randn(4, 2), torch.randn(4, 2))
    return {"a": gaussian, "b": OneHot(torch.randn(4, 1, 3), temperature), "c": OneHot(torch.randn(4, 2, 2))}


def test_a_joint_code_is_its_parts_side_by_side():
    each = parts()
    q = Joint(each)
    z = q.sample((5,))
    pieces = dict(zip(each, (z[..., :2], z[..., 2:5], z[..., 5:]), strict=True))
    assert (q.batch_shape, q.event_shape, z.shape) == ((4,), (9,), (5, 4, 9))
    assert_close(q.log_prob(z), sum(each[name].log_prob(pieces[name]) for name in each))
    assert_close(q.mean, torch.cat([each[name].mean for name in each], -1))
    for name in "bc":
        assert set(pieces[name].unique().tolist()) == {0.0, 1.0}
    assert_mean(q.sample((COUNT,)), q.mean)


def test_the_divergence_of_joint_codes_is_the_sum_by_name():
    a, b = parts(), parts()
    shuffled = dict(sorted(b.items(), reverse=True))
    expected = sum(td.kl_divergence(a[name], b[name]) for name in a)
    assert_close(divergence(Joint(a), Joint(shuffled), torch.zeros(())), expected)
    q, p = Joint(a), Joint(b)
    z = q.sample((COUNT,))
    assert_mean(q.log_prob(z) - p.log_prob(z), divergence(q, p, z))


def test_a_joint_prior_without_a_batch_fits_a_posterior_with_one():
    q = Joint({"a": parts()["a"], "b": parts()["b"]})
    p = Joint({"a": StandardGaussian(torch.zeros(2)), "b": OneHot(torch.zeros(1, 3))})
    z = q.sample((7,))
    assert (p.batch_shape, p.sample((6,)).shape) == ((), (6, 5))
    assert p.log_prob(z).shape == (7, 4)
    assert divergence(q, p, z).shape == (4,)


class Linear(nn.Module):
    """z -> N(W z + b, diag(exp(log_variance)))."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.map, self.log_variance = nn.Linear(inputs, outputs).double(), torch.randn(outputs).double()

    def forward(self, z):
        return Gaussian(self.map(z), self.log_variance.expand(*z.shape[:-1], -1))


SIZES = [3, 2, 1]  # of the layers from the data upwards


def linear_chain(upwards, batch=4):
    """A chain of linear Gaussian layers, and the mean and covariance of the whole code."""
    sizes = SIZES if upwards else SIZES[::-1]
    links = [Linear(a, b) for a, b in itertools.pairwise(sizes)]
    first = Gaussian(torch.randn(batch, sizes[0]).double(), torch.randn(batch, sizes[0]).double())
    chain = Chain(first, links, SIZES, upwards)
    mean, factor = [first.loc], first.stddev.diag_embed()
    rows = [nn.functional.pad(factor, (0, sum(sizes) - sizes[0]))]
    for i, link in enumerate(links):
        mean.append(link.map(mean[-1]))
        row = link.map.weight @ rows[-1]
        start = sum(sizes[: i + 1])
        row[..., start : start + sizes[i + 1]] = (0.5 * link.log_variance).exp().diag()
        rows.append(row)
    order = 1 if upwards else -1
    loc, root = torch.cat(mean[::order], -1), torch.cat(rows[::order], -2)
    return chain, td.MultivariateNormal(loc.detach(), (root @ root.mT).detach(), validate_args=False)


every_order = pytest.mark.parametrize("upwards", [True, False])


@every_order
def test_a_linear_chain_is_a_multivariate_normal(upwards):
    chain, normal = linear_chain(upwards)
    z = torch.randn(5, 4, 6).double()
    assert (chain.batch_shape, chain.event_shape) == ((4,), (6,))
    assert_close(chain.log_prob(z).detach(), normal.log_prob(z))
    assert_close(chain.mean.detach(), normal.mean)
    samples = chain.sample((COUNT,))
    assert_mean(samples, normal.mean)
    v = torch.randn(6, 8).double()
    spread = ((samples - normal.mean) @ v).square()
    assert_mean(spread, (v * (normal.covariance_matrix @ v)).sum(-2))


@every_order
def test_the_layers_of_a_chain_stand_from_the_data_upwards_in_either_order(upwards):
    drawn_first = 0 if upwards else 2
    sizes = SIZES if upwards else SIZES[::-1]
    links = [
        lambda z, n=n: Gaussian(z[..., :1].expand(*z.shape[:-1], n) + 1, torch.tensor(-60.0))
        for n in sizes[1:]
    ]
    chain = Chain(Gaussian(torch.zeros(4, sizes[0]), torch.tensor(-60.0)), links, SIZES, upwards)
    layers = [layer.mean().round().item() for layer in chain.sample().split(SIZES, -1)]
    assert layers == ([0, 1, 2] if upwards else [2, 1, 0])
    assert layers[drawn_first] == 0


@every_order
def test_the_rate_of_linear_chains_is_the_divergence_of_normals(upwards):
    (q, q_normal), (p, p_normal) = linear_chain(upwards), linear_chain(upwards)
    truth = td.kl_divergence(q_normal, p_normal)
    estimates = torch.stack([divergence(q, p, q.sample((50,))) for _ in range(100)]).detach()
    assert estimates.shape == (100, 4)
    assert_mean(estimates, truth)
    z = q.sample((COUNT,))
    assert_mean((q.log_prob(z) - p.log_prob(z)).detach(), truth)


def test_the_rate_varies_less_than_the_log_ratio_with_the_same_mean():
    (q, _), (p, _) = linear_chain(True), linear_chain(True)
    z = q.sample((400,))
    rates = torch.stack([q.rate(p, one[None]) for one in z]).detach()
    ratios = (q.log_prob(z) - p.log_prob(z)).detach()
    assert (rates.std(0) < ratios.std(0)).all()
    assert_mean(rates - ratios, torch.zeros(4))


def test_chains_of_opposite_orders_are_compared_by_their_log_ratio():
    (q, q_normal), (p, p_normal) = linear_chain(True), linear_chain(False)
    z = q.sample((COUNT,))
    assert_close(divergence(q, p, z), (q.log_prob(z) - p.log_prob(z)).mean(0))
    assert_mean((q.log_prob(z) - p.log_prob(z)).detach(), td.kl_divergence(q_normal, p_normal))


def test_a_chain_without_a_batch_can_be_sampled_and_scored():
    chain = Chain(StandardGaussian(torch.zeros(1).double()), linear_chain(False)[0].following, SIZES, False)
    z = chain.sample((7, 4))
    assert (chain.batch_shape, z.shape, chain.log_prob(z).shape) == ((), (7, 4, 6), (7, 4))


def test_chains_mix_as_any_components_do():
    chain, normal = linear_chain(True, batch=5)
    weights = td.Categorical(logits=torch.randn(5).double())
    ours = td.MixtureSameFamily(weights, chain, validate_args=False)
    theirs = td.MixtureSameFamily(weights, normal, validate_args=False)
    z = torch.randn(3, 4, 6).double()
    assert_close(ours.log_prob(z).detach(), theirs.log_prob(z))
    assert ours.sample((3,)).shape == (3, 6)


def test_a_transported_gaussian_has_the_density_of_the_change_of_variables():
    base = Gaussian(torch.randn(4, 2), torch.randn(4, 2))
    q = Transported(base, lambda e: (e.exp(), e.sum(-1)), 2)
    z, log_q = q.rsample_and_log_prob((5,))
    theirs = td.Independent(td.LogNormal(base.loc, base.stddev), 1)
    assert (q.batch_shape, q.event_shape, z.shape) == ((4,), (2,), (5, 4, 2))
    assert_close(log_q, theirs.log_prob(z))
    assert_close(q.mean, base.mean.exp())


def test_a_curved_transport_gives_a_density_that_integrates_to_one():
    def transport(e):
        return e + 0.9 * e.sin(), torch.log1p(0.9 * e.cos()).sum(-1)

    base = Gaussian(torch.zeros(1, 1).double(), torch.zeros(1, 1).double())
    q = Transported(base, transport, 1)
    z, log_q = q.rsample_and_log_prob((COUNT,))
    # Importance sampling with the wide normal r: E_q[r/q] = 1 whatever the integral of r over the line.
    r = td.Normal(0.0, 1.5)
    assert_mean((r.log_prob(z[..., 0]) - log_q).exp(), torch.ones(1).double())
    e = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    z, log_det = transport(e)
    density = (base.log_prob(e) - log_det).exp()
    assert torch.trapezoid(density, z[:, 0]).item() == pytest.approx(1, abs=1e-6)
    assert_close(log_det, jacobian(lambda e: transport(e)[0], e)[:, 0, 0].log())


def test_only_the_draw_knows_the_density_of_a_transported_sample():
    base = Gaussian(torch.zeros(4, 2), torch.zeros(4, 2))
    q = Transported(base, lambda e: (2 * e, e.sum(-1)), 2)
    draws = [rsample_and_log_prob(q, shape) for shape in ((3,), (3,), ())]
    for z, log_q in draws:  # whichever was drawn last
        assert_close(log_q, base.log_prob(z / 2) - (z / 2).sum(-1))
        with pytest.raises(ConfigurationError, match="own samples"):
            q.log_prob(z)
    torch.manual_seed(1)
    z = q.rsample((3,))
    torch.manual_seed(1)
    assert torch.equal(rsample_and_log_prob(q, (3,))[0], z)


def test_the_draw_of_what_knows_its_density_everywhere_is_a_draw_alone():
    q = Gaussian(torch.randn(4, 2), torch.randn(4, 2))
    torch.manual_seed(1)
    z, log_q = rsample_and_log_prob(q, (3,))
    torch.manual_seed(1)
    assert torch.equal(z, q.rsample((3,)))
    assert log_q is None
