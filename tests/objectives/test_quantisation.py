"""The costs of a codebook: whose gradient they are, that they are means, and when entries begin anew."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import AveragedCodebook, Codebook, FiniteScalar, Quantised, VectorQuantiser
from aelab.models.priors import UniformCodebook
from aelab.objectives.quantisation import Codebook as CodebookTerm
from aelab.objectives.quantisation import CodeEntropy, Commitment


def model_of(quantiser=partial(VectorQuantiser, codes=8)):  # noqa: B008
    torch.manual_seed(0)
    return autoencoder(
        (1, 2, 3), 4, None, partial(MLPDecoder, widths=[5]), Bernoulli(), partial(MLPEncoder, widths=[5]),
        partial(Quantised, quantiser=quantiser), UniformCodebook,
    )  # fmt: skip


def batch(count=6):
    return Batch(torch.rand(count, 1, 2, 3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("depth", [1, 2])
def test_each_side_moves_alone(depth):
    model = model_of(partial(VectorQuantiser, codes=8, depth=depth))
    trace = model(batch())
    books = [table.table for table in model.posterior.places.quantiser.tables]
    encoder = model.posterior.projection.weight
    for term, moved, held in ((Commitment(), [encoder], books), (CodebookTerm(), books, [encoder])):
        cost = term(trace, model)
        assert all(g is None for g in torch.autograd.grad(cost, held, retain_graph=True, allow_unused=True))
        assert all(g.abs().sum() > 0 for g in torch.autograd.grad(cost, moved, retain_graph=True))


def test_costs_do_not_depend_on_how_often_an_observation_is_in_the_batch():
    model, once = model_of(), batch()
    twice = Batch(once.x.repeat(4, 1, 1, 1))
    for term in (Commitment(), CodebookTerm()):
        assert_close(term(model(once), model), term(model(twice), model))


def test_the_cost_is_the_squared_distance_of_features_and_code():
    model, one = model_of(), batch()
    features = model.posterior.projection(model.encoder(one.x))
    expected = (features - model.encode(one.x).mean).square().sum(1).mean()
    assert_close(Commitment()(model(one), model), expected)


@pytest.mark.parametrize("book", [Codebook, AveragedCodebook])
def test_entries_that_begin_anew_follow_from_the_seed_and_the_step(book):
    def after(seed, step, noise):
        model = model_of(partial(VectorQuantiser, codes=8, book=book))
        torch.manual_seed(noise)
        CodebookTerm(seed=seed).after_step(replace(model(batch()), step=step), model)
        return model.posterior.places.quantiser.tables[0].table.clone()

    with torch.no_grad():
        assert after(0, 3, noise=1).equal(after(0, 3, noise=2))
        assert not after(0, 3, 1).equal(after(1, 3, 1))
        assert not after(0, 3, 1).equal(after(0, 4, 1))


@torch.no_grad()
def test_a_frozen_codebook_stays():
    model = model_of(partial(VectorQuantiser, codes=8, book=AveragedCodebook))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.freeze(["posterior"])
    CodebookTerm().after_step(model(batch()), model)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_code_entropy_is_least_where_bits_are_sure_and_even():
    model = model_of(partial(VectorQuantiser, codes=4))
    q, term = model(batch(4)).q, CodeEntropy()

    def cost(bits):
        q.asked = [torch.tensor(bits)[:, None]]
        return term(replace(model(batch(4)), posterior=q), model)

    sure, even, same = [[9.0], [-9.0]] * 2, [[0.0]] * 4, [[9.0]] * 4
    assert_close(cost(sure), -torch.tensor(2.0).log(), atol=1e-3, rtol=0)
    assert_close(cost(even), torch.tensor(0.0), atol=1e-4, rtol=0)
    assert_close(cost(same), torch.tensor(0.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("term", [Commitment, CodebookTerm, CodeEntropy])
def test_codes_without_entries_are_refused(term):
    model = model_of(FiniteScalar)
    with pytest.raises(ConfigurationError, match="choose posterior=vector_quantised"):
        term()(model(batch()), model)
