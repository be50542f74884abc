import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_gaussian import linear_gaussian
from torch.testing import assert_close

from aelab.core.errors import InapplicableError
from aelab.core.records import Batch, Trace
from aelab.metrics.importance import importance_sampled, log_evidence
from aelab.models import autoencoder
from aelab.models.distributions import Gaussian, StandardGaussian
from aelab.models.evidence import log_weights
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic, DiagonalGaussian, Flow, Planar
from aelab.models.priors import StandardNormal

few = settings(max_examples=20, deadline=None)


def passes_of(trace, model, sizes):
    """The codes of a trace, dealt out."""
    for z in trace.z.split(sizes):
        yield replace(trace, z=z, decode=partial(model.likelihood_of, trace.x, z, trace.context))


def traced(samples, exact=False, count=5):
    torch.manual_seed(0)
    model, marginal = linear_gaussian(exact)
    x = marginal.sample((count,))
    with torch.no_grad():
        return model(Batch(x), samples), model, marginal.log_prob(x)


@torch.no_grad()
def test_the_estimate_is_the_evidence_within_its_standard_error():
    trace, _, log_p = traced(20_000)
    w = (log_weights(trace) - log_p).exp()
    found, effective = log_evidence([trace])
    error = w.std(0) / 20_000**0.5  # of w / p(x), and so to first order of its logarithm
    assert ((found - log_p).abs() < 3 * error).all()
    assert (error > 1e-4).all()
    assert_close(found, log_p + w.mean(0).log())
    # Kong's number is what the relative variance of the weights leaves of the codes.
    assert_close(effective, 20_000 / (1 + w.var(0, correction=0) / w.mean(0).square()))


@torch.no_grad()
def test_the_estimate_is_below_the_evidence_on_average():
    trace, _, log_p = traced(5, count=4000)
    gap = log_p - log_evidence([trace])[0]
    assert gap.mean() > 4 * gap.std() / 4000**0.5


@few
@given(st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_it_does_not_matter_how_codes_are_dealt_out_to_passes(sizes):
    trace, model, _ = traced(sum(sizes))
    whole = log_evidence([trace])
    assert_close(log_evidence(passes_of(trace, model, sizes)), whole)
    assert_close(log_evidence(reversed(list(passes_of(trace, model, sizes)))), whole)


def test_every_code_of_the_exact_posterior_counts():
    trace, model, log_p = traced(12, exact=True)
    for found, effective in (log_evidence([trace]), log_evidence(passes_of(trace, model, [5, 7]))):
        assert_close(found, log_p)
        assert_close(effective, torch.full((5,), 12.0).double())


def weighted(log_w):
    """A trace in float32 whose codes have the given weights, as prior and posterior are alike."""

    class Given:
        def log_prob(self, x):
            return log_w

    x = torch.zeros(log_w.shape[1], 1)
    normal = StandardGaussian(torch.zeros(2))
    same = Gaussian(torch.zeros(len(x), 2), torch.zeros(len(x), 2))
    return Trace(Batch(x), x, None, same, normal, torch.randn(*log_w.shape, 2), Given)


def test_one_code_that_outweighs_all_others_is_one_code():
    log_w = torch.full((50, 2), -1000.0)
    log_w[17] = torch.tensor([0.0, 300.0])
    found, effective = log_evidence([weighted(log_w)])
    assert_close(effective, torch.ones(2).double(), atol=1e-5, rtol=0)
    assert_close(found, torch.tensor([0.0, 300.0]).double() - math.log(50), atol=1e-5, rtol=0)


@pytest.mark.parametrize("level", [-5000.0, 0.0, 5000.0])
def test_weights_beyond_the_range_of_numbers_are_summed(level):
    log_w = level + torch.tensor([[0.0], [1.0], [2.0]])
    expected = level + math.log((1 + math.e + math.e**2) / 3)
    found, effective = log_evidence([weighted(log_w[:1]), weighted(log_w[1:])])
    assert found.dtype == torch.float64
    assert found.item() == pytest.approx(expected, abs=2e-3)
    total = 1 + math.e + math.e**2
    assert effective.item() == pytest.approx(total**2 / (1 + math.e**2 + math.e**4), rel=2e-3)


def test_what_has_no_evidence_lower_bound_is_not_weighed():
    """Also a flow, which knows the density of its codes, without a prior of them."""
    encoder, decoder = partial(MLPEncoder, widths=[4]), partial(MLPDecoder, widths=[4])
    for posterior, prior in (
        (partial(Flow, step=Planar), None),
        (DiagonalGaussian, None),
        (Deterministic, StandardNormal),
    ):
        parts = {"posterior": posterior, "prior": prior, "encoder": encoder, "decoder": decoder}
        model = autoencoder((1, 3, 3), 2, None, likelihood=Bernoulli(), **parts)
        with pytest.raises(InapplicableError, match="no evidence lower bound"):
            importance_sampled(model, Batch(torch.rand(2, 1, 3, 3)), 5)
