"""Sparse codes: how many numbers are kept, what a threshold's gradient is, and how dead units come back."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.models import autoencoder
from aelab.models.likelihoods import Gaussian
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import BatchTopK, Deterministic, JumpReLU, TopK
from aelab.objectives.sparsity import ActiveUnits, Revival

LATENT = Sizes(latent=6)


def posterior(kind, **options):
    torch.manual_seed(0)
    return kind(4, LATENT, **options)


def test_exactly_k_numbers_are_kept_ties_included():
    tied = torch.ones(3, 6)
    for k in (1, 4, 6):
        assert ((posterior(TopK, k=k).kept(tied).value != 0).sum(1) == k).all()
    h = torch.randn(50, 4)
    found = posterior(TopK, k=2, rectified=False)(h)
    assert (found.gates.sum(1) == 2).all()
    assert_close(found.value.sum(1), found.responses.topk(2).values.sum(1))


def test_all_numbers_kept_are_the_plain_code_to_the_bit():
    h = torch.randn(5, 4)
    assert torch.equal(posterior(TopK, k=6, rectified=False)(h).value, posterior(Deterministic)(h).value)


@pytest.mark.parametrize("kind", [TopK, BatchTopK])
@pytest.mark.parametrize("k", [0, 7])
def test_more_than_there_are_cannot_be_kept(kind, k):
    with pytest.raises(ConfigurationError, match=f"k={k}: of a code of 6 numbers choose from 1 to 6"):
        posterior(kind, k=k)


def test_a_batch_shares_its_units_and_the_threshold_keeps_the_same_at_validation():
    sparse, h = posterior(BatchTopK, k=2, decay=0.0), torch.randn(40, 4)
    trained = sparse(h)
    assert trained.gates.sum() == 80
    assert trained.gates.sum(1).unique().numel() > 1
    sparse.follow(trained)
    assert torch.equal(sparse.eval()(h).value, trained.value)


def test_the_gradient_of_a_threshold_is_that_of_the_expectation():
    sparse = posterior(JumpReLU, threshold=0.5, bandwidth=0.1)
    r = torch.linspace(0, 1, 100_001)[:, None].expand(-1, 6)  # uniform, of density 1
    found = sparse.kept(r)
    assert ((found.value == 0) == (r <= sparse.log_threshold.exp())).all()
    for value, slope in ((found.value, -0.5), (found.gates, -1.0)):  # of E r [r > t] and of P(r > t)
        (gradient,) = torch.autograd.grad(value.mean(0).sum(), sparse.log_threshold, retain_graph=True)
        assert_close(gradient, torch.full((6,), 0.5 * slope), rtol=1e-3, atol=0)


def model(k=1):
    torch.manual_seed(0)
    return autoencoder(
        (1, 2, 2), 6, None, encoder=partial(MLPEncoder, widths=()), decoder=partial(MLPDecoder, widths=()),
        posterior=partial(TopK, k=k), likelihood=Gaussian(bounds=None),
    )  # fmt: skip


def test_dead_units_are_charged_what_they_leave_unexplained_of_the_residual():
    made, term = model(), Revival(LATENT, count=3)
    trace = made(Batch(torch.rand(5, 1, 2, 2)))
    assert term(trace, made) == 0
    term.share[3:] = 0
    added = torch.cat([torch.zeros(5, 3), trace.q.responses[:, 3:]], 1)
    residual = (trace.x - trace.likelihood.mean[0]).flatten(1)
    unexplained = (residual - added @ made.decoder.output.weight.T).square().sum(1).mean() / 2
    normalisation = trace.likelihood.log_prob(trace.likelihood.mean).mean()
    assert_close(term(trace, made) + normalisation, unexplained)
    (gradient,) = torch.autograd.grad(term(trace, made), made.posterior.projection.weight)
    assert (gradient[3:] != 0).any(1).all()
    assert (gradient[:3] == 0).all()


def test_a_unit_is_dead_by_the_share_of_observations_that_switch_it_on():
    made, term = model(), Revival(LATENT, decay=0.5)
    trace = made(Batch(torch.rand(5, 1, 2, 2)))
    term.after_step(trace, made)
    assert_close(term.share, 0.5 + 0.5 * (trace.z[0] != 0).float().mean(0))
    assert_close(ActiveUnits()(trace, made), (trace.z[0] != 0).sum(1).float().mean())
