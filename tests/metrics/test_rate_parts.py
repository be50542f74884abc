"""The rate's parts: against double loops, closed forms, and each other."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as td
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError, InapplicableError
from aelab.core.records import Batch, Trace
from aelab.metrics import rate as module
from aelab.metrics.rate import kl_per_dimension, rate_parts
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
    divergence,
)

COUNT, LATENT = 40, 3


def traced(posterior, prior, z=None):
    count = posterior.batch_shape[0]
    x = torch.zeros(count, 1)
    if z is None:
        torch.manual_seed(123)  # not the seed of the parameters
        z = posterior.rsample((1,))
    return Trace(Batch(x), x, None, posterior, prior, z, lambda: Bernoulli(x[None]))


def gaussian(loc, log_variance, part=slice(None)):
    return Gaussian(loc[part], log_variance[part])


def parameters(count=COUNT, seed=0):
    draw = {"generator": torch.Generator().manual_seed(seed)}
    return torch.randn(count, LATENT, **draw), torch.randn(count, LATENT, **draw) - 1


def standard():
    return StandardGaussian(torch.zeros(LATENT))


def parts_of(posterior, prior, codes=COUNT):
    trace = traced(posterior, prior)
    return rate_parts(lambda: [trace], codes), trace


def test_the_parts_sum_to_the_rate():
    parts, trace = parts_of(gaussian(*parameters()), standard())
    rate = (trace.posterior.log_prob(trace.z) - trace.prior.log_prob(trace.z))[0].double()
    assert_close(parts["kl"], rate, atol=1e-5, rtol=1e-5)
    assert_close(parts["mutual_information"] + parts["marginal_kl"], parts["kl"], atol=1e-5, rtol=1e-5)
    assert_close(
        parts["total_correlation"] + parts["dimensionwise_kl"], parts["marginal_kl"], atol=1e-5, rtol=1e-5
    )


KINDS = {
    "diagonal": lambda loc, s: gaussian(loc, s),
    "full": lambda loc, s: td.MultivariateNormal(
        loc, scale_tril=(0.5 * s).exp().diag_embed() + (s[:, :, None] * s[:, None]).tril(-1)
    ),
    "low rank": lambda loc, s: td.LowRankMultivariateNormal(loc, 0.7 * s[..., None], s.exp()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_is_that_of_a_double_loop(kind):
    posterior = KINDS[kind](*parameters())
    parts, trace = parts_of(posterior, standard())
    z, scale = trace.z[0], posterior.variance.sqrt()
    one_by_one = [KINDS[kind](*(p[i : i + 1] for p in parameters())) for i in range(COUNT)]
    joint = torch.stack([q.log_prob(z) for q in one_by_one], 1).double()
    each = torch.stack([td.Normal(m, s).log_prob(z) for m, s in zip(posterior.mean, scale, strict=True)], 1)
    log_q = joint.logsumexp(1) - math.log(COUNT)
    marginals = (each.double().logsumexp(1) - math.log(COUNT)).sum(1)
    assert_close(parts["mutual_information"], joint.diagonal() - log_q, atol=1e-4, rtol=1e-4)
    assert_close(parts["total_correlation"], log_q - marginals, atol=1e-4, rtol=1e-4)
    expected = marginals - standard().log_prob(z).double()
    assert_close(parts["dimensionwise_kl"], expected, atol=1e-4, rtol=1e-4)


def sphere(part=slice(None)):
    loc, log_variance = (p[part] for p in parameters())
    return VonMisesFisher(loc / loc.norm(dim=-1, keepdim=True), 5 * log_variance[:, 0].exp())


def joint(part=slice(None)):
    loc, log_variance = (p[part] for p in parameters())
    logits = torch.randn(COUNT, 1, 4, generator=torch.Generator().manual_seed(5))[part]
    return Joint({"a": Gaussian(loc, log_variance), "b": OneHot(3 * logits)})


UNIFORM = SphereUniform(torch.zeros(LATENT))
APART = Joint({"a": standard(), "b": OneHot(torch.zeros(1, 4))})


@pytest.mark.parametrize(("posterior", "prior"), [(sphere, UNIFORM), (joint, APART)])
def test_where_marginals_are_not_known_the_other_parts_are_those_of_a_double_loop(posterior, prior):
    trace = traced(posterior(), prior, posterior().rsample((2,)))
    parts, z = rate_parts(lambda: [trace], COUNT), trace.z[0]
    each = torch.stack([posterior(slice(i, i + 1)).log_prob(z) for i in range(COUNT)], 1).double()
    own, log_q = each.diagonal(), each.logsumexp(1) - math.log(COUNT)
    log_p = prior.log_prob(z).double()
    expected = {"mutual_information": own - log_q, "kl": own - log_p, "marginal_kl": log_q - log_p}
    assert 0.5 < (own - log_q).mean() < math.log(COUNT) - 0.5
    assert parts.keys() == expected.keys()
    for name in expected:
        assert_close(parts[name], expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pairs", [1, 7 * COUNT * LATENT])
def test_it_does_not_matter_how_many_pairs_are_held_at_once(monkeypatch, pairs):
    expected, _ = parts_of(KINDS["low rank"](*parameters()), standard())
    monkeypatch.setattr(module, "PAIRS", pairs)
    found, _ = parts_of(KINDS["low rank"](*parameters()), standard())
    for name in expected:
        assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, COUNT - 1), max_size=5, unique=True), st.integers(1, COUNT))
def test_it_does_not_matter_how_the_images_are_dealt_out(cuts, codes):
    whole = traced(gaussian(*parameters()), standard())
    edges = [0, *sorted(cuts), COUNT]
    pieces = [
        traced(gaussian(*parameters(), slice(a, b)), standard(), whole.z[:, a:b]) for a, b in pairwise(edges)
    ]
    expected, found = rate_parts(lambda: [whole], codes), rate_parts(lambda: pieces, codes)
    assert found.keys() == expected.keys()
    for name in expected:
        assert_close(found[name], expected[name], atol=1e-5, rtol=1e-5)
        assert len(found[name]) == codes


def test_information_lies_between_nothing_and_the_logarithm_of_the_count():
    apart = gaussian(100.0 * torch.arange(COUNT)[:, None].expand(-1, LATENT), torch.zeros(COUNT, LATENT))
    alike = gaussian(torch.zeros(COUNT, LATENT), torch.zeros(COUNT, LATENT))
    for posterior, expected in ((apart, math.log(COUNT)), (alike, 0.0)):
        told = parts_of(posterior, standard())[0]["mutual_information"]
        assert_close(told, torch.full_like(told, expected), atol=1e-5, rtol=0)


def test_total_correlation_is_that_of_a_correlated_gaussian():
    """Narrow posteriors around correlated means: q(z) is a Gaussian, whose total correlation is known."""
    count, rho = 4000, 0.8
    mean = torch.randn(count, 2, generator=torch.Generator().manual_seed(0))
    mean[:, 1] = rho * mean[:, 0] + (1 - rho**2) ** 0.5 * mean[:, 1]
    posterior = Gaussian(mean, torch.full_like(mean, 2 * math.log(0.2)))
    parts, _ = parts_of(posterior, StandardGaussian(torch.zeros(2)), codes=2000)
    variance = 1 + 0.2**2
    expected = -0.5 * math.log(1 - (rho / variance) ** 2)
    found = parts["total_correlation"]
    assert found.mean().item() == pytest.approx(expected, abs=4 * (found.std() / 2000**0.5).item())
    independent = gaussian(parameters(count, 1)[0], torch.zeros(count, LATENT))
    assert parts_of(independent, standard(), 2000)[0]["total_correlation"].mean().abs() < 0.02


def test_the_mean_rate_is_the_closed_form():
    posterior = gaussian(*parameters(4000))
    parts, trace = parts_of(posterior, standard(), 4000)
    closed = divergence(posterior, trace.prior, trace.z)
    gap = parts["kl"] - closed
    assert gap.mean().abs() < 3 * gap.std() / 4000**0.5


def test_a_part_is_left_out_where_it_is_not_known():
    loc, log_variance = parameters()
    mixture = td.MixtureSameFamily(td.Categorical(torch.ones(2)), Gaussian(loc[:2], log_variance[:2]))
    found = parts_of(gaussian(loc, log_variance), mixture)[0].keys()
    assert found == {"mutual_information", "kl", "marginal_kl", "total_correlation"}
    conditional = Gaussian(loc + 1, log_variance)
    found = parts_of(gaussian(loc, log_variance), conditional)[0].keys()
    assert found == {"mutual_information", "total_correlation"}
    assert parts_of(gaussian(loc, log_variance), None)[0].keys() == found


def test_layers_of_codes_are_weighed_by_each_others_images():
    loc, log_variance = parameters()
    chain = Chain(
        Gaussian(loc, log_variance), [lambda z: Gaussian(2 * z, torch.zeros_like(z))], [LATENT] * 2, True
    )
    parts, trace = parts_of(chain, StandardGaussian(torch.zeros(2 * LATENT)))
    first, second = trace.z[0].split(LATENT, -1)
    below = torch.stack(
        [gaussian(loc, log_variance, slice(i, i + 1)).log_prob(first) for i in range(COUNT)], 1
    )
    above = Gaussian(2 * first, torch.zeros_like(first)).log_prob(second)
    log_q = (below + above[:, None]).double().logsumexp(1) - math.log(COUNT)
    assert_close(
        parts["marginal_kl"], log_q - trace.prior.log_prob(trace.z)[0].double(), atol=1e-4, rtol=1e-4
    )


def test_a_posterior_without_a_density_for_others_codes_is_refused():
    with pytest.raises(InapplicableError, match="a point"):
        parts_of(PointMass(torch.zeros(COUNT, LATENT)), standard())
    with pytest.raises(ConfigurationError, match="its own samples"):
        parts_of(FLOW, standard())


def test_the_rates_of_dimensions_sum_to_the_rate_of_a_product():
    posterior = gaussian(*parameters())
    trace = traced(posterior, standard())
    assert_close(kl_per_dimension(trace).sum(1).float(), divergence(posterior, trace.prior, trace.z))
    prior = Gaussian(torch.ones(LATENT), torch.full((LATENT,), 0.5))
    many = traced(posterior, prior, posterior.rsample((5000,)))
    marginal = td.Normal(posterior.loc, posterior.variance.sqrt())
    expected = td.kl_divergence(marginal, td.Normal(1.0, math.exp(0.25))).double()
    log_ratio = marginal.log_prob(many.z) - td.Normal(1.0, math.exp(0.25)).log_prob(many.z)
    gap, error = kl_per_dimension(many) - expected, log_ratio.std(0) / 5000**0.5
    assert (gap.abs() < 4 * error + 1e-5).all()
    assert error.mean() < 0.05 * expected.mean()


@pytest.mark.parametrize("kind", ["full", "low rank"])
def test_the_rate_of_a_dimension_is_that_of_the_marginal(kind):
    posterior = KINDS[kind](*parameters())
    marginal = td.Normal(posterior.mean, posterior.variance.sqrt())
    expected = td.kl_divergence(marginal, td.Normal(0.0, 1.0)).double()
    assert_close(kl_per_dimension(traced(posterior, standard())), expected, atol=1e-5, rtol=1e-5)
    assert (
        kl_per_dimension(traced(posterior, standard())).sum(1) < divergence(posterior, NORMAL, None)
    ).all()


NORMAL = td.MultivariateNormal(torch.zeros(LATENT), torch.eye(LATENT))
FLOW = Transported(gaussian(*parameters()), lambda z: (z + 1, torch.zeros(z.shape[:-1])), LATENT)


@pytest.mark.parametrize(
    ("posterior", "prior", "message"),
    [
        (PointMass(torch.zeros(COUNT, LATENT)), standard(), "is a point"),
        (gaussian(*parameters()), None, "prior's are not known"),
        (gaussian(*parameters()), NORMAL, "prior's are not known"),
        (sphere(), UNIFORM, "posterior's marginals"),
        (joint(), APART, "posterior's marginals"),
        (FLOW, standard(), "posterior's marginals"),
    ],
)
def test_rates_of_dimensions_are_refused_where_they_are_not_known(posterior, prior, message):
    with pytest.raises(InapplicableError, match=message):
        kl_per_dimension(traced(posterior, prior))
