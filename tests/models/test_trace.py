"""The likelihood of a trace is computed when it is first read, once, as it would have been in the pass."""

from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.likelihoods import Gaussian
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import DiagonalGaussian
from aelab.models.priors import StandardNormal, Vamp
from aelab.objectives.aggregate import MMD
from aelab.objectives.base import Objective
from aelab.objectives.bounds import KL, ImportanceWeighted, Reconstruction
from aelab.objectives.penalties import L2

SHAPE = (1, 3, 3)
MODES = {
    "plain": nullcontext,
    "no gradients": torch.no_grad,
    "half precision": partial(torch.autocast, "cpu", torch.bfloat16),
    "inference": torch.inference_mode,
}


def build(**slots):
    torch.manual_seed(0)
    parts = {"posterior": DiagonalGaussian, "prior": StandardNormal, **slots}
    encoder, decoder = partial(MLPEncoder, widths=[6]), partial(MLPDecoder, widths=[6])
    likelihood = Gaussian(0.3, learned=True)
    return autoencoder(SHAPE, 2, None, encoder=encoder, decoder=decoder, likelihood=likelihood, **parts)


def batch(count=5):
    return Batch(torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def calls():
    """A model, and the batches that its decoder was given."""
    model, given = build(), []
    model.decoder.register_forward_hook(lambda module, arguments, output: given.append(len(output)))
    return model, given


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        ({"kl": KL(), "mmd": MMD(), "l2": L2()}, 0),
        ({"reconstruction": Reconstruction(), "kl": KL()}, 1),
        ({"bound": ImportanceWeighted(), "reconstruction": Reconstruction()}, 1),
    ],
)
def test_the_decoder_is_asked_once_and_only_where_a_term_reads_the_likelihood(calls, terms, count):
    model, given = calls
    trace = model(batch(), 3)
    assert given == []
    Objective(terms, 3)(trace, model)
    assert given == count * [15]
    _ = trace.likelihood, trace.likelihood
    assert given == [15]


@pytest.mark.parametrize("reading", [mode for mode in MODES if mode != "inference"])
@pytest.mark.parametrize("passing", MODES)
def test_a_likelihood_read_later_is_that_of_the_pass(passing, reading):
    """In its precision, and with its graph or without."""
    model = build()
    with MODES[passing]():
        torch.manual_seed(1)
        within = model(batch(), 2)
        expected = within.likelihood
        torch.manual_seed(1)
        trace = model(batch(), 2)
    with MODES[reading]():
        found = trace.likelihood
    assert torch.equal(found.loc, expected.loc)
    assert found.loc.requires_grad == expected.loc.requires_grad == (passing in ("plain", "half precision"))
    assert found.log_variance.requires_grad == expected.log_variance.requires_grad
    half = torch.autocast("cpu", torch.bfloat16)
    with torch.no_grad(), half if passing == "half precision" else nullcontext():
        assert_close(found.loc, model.decode(trace.z).loc, rtol=0, atol=0)


def test_a_measure_that_reads_first_leaves_the_objective_its_gradient():
    model = build()
    trace = model(batch())
    with torch.no_grad():
        trace.likelihood.log_prob(trace.x)
    Reconstruction()(trace, model).backward()
    assert all(parameter.grad is not None for parameter in model.decoder.parameters())


@pytest.mark.parametrize("prior", [StandardNormal, partial(Vamp, components=3)])
def test_the_posterior_of_observations_is_that_of_the_pass(prior):
    model = build(prior=prior)
    trace = model(batch())
    q = model.posterior_of(trace.x)
    assert torch.equal(q.loc, trace.posterior.loc)
    assert torch.equal(q.log_variance, trace.posterior.log_variance)
