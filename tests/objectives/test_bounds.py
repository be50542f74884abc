"""Bounds of the evidence, held against models whose evidence and gradients are known."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_gaussian import NOISE, linear_gaussian
from torch import Tensor
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.models import autoencoder
from aelab.models.distributions import Gaussian, divergence
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import DiagonalGaussian, Flow, Planar
from aelab.models.priors import StandardNormal
from aelab.objectives.base import Objective
from aelab.objectives.bounds import (
    KL,
    DoublyReparameterised,
    ImportanceWeighted,
    PartiallyImportanceWeighted,
    Reconstruction,
    StickingTheLanding,
)
from aelab.objectives.penalties import L1, L2

few = settings(max_examples=20, deadline=None)
BOUNDS = {
    "iwae": ImportanceWeighted(),
    "miwae": ImportanceWeighted(groups=3),
    "piwae": PartiallyImportanceWeighted(groups=3),
    "dreg": DoublyReparameterised(),
    "stl": StickingTheLanding(),
}


def traced(exact=False, samples=6, count=4):
    torch.manual_seed(1)
    model, marginal = linear_gaussian(exact)
    x = marginal.sample((count,))
    return model(Batch(x), samples), model, marginal.log_prob(x)


def weights(trace):
    """log w by its definition, (S, B)."""
    return (
        trace.likelihood.log_prob(trace.x) + trace.prior.log_prob(trace.z) - trace.posterior.log_prob(trace.z)
    )


def gradients(value, *modules):
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    return torch.autograd.grad(value, parameters, retain_graph=True)


# Values.


def test_one_code_makes_the_monte_carlo_evidence_lower_bound():
    trace, model, _ = traced(samples=1)
    assert torch.equal(ImportanceWeighted()(trace, model), -weights(trace).mean())


def test_groups_of_one_code_make_the_mean_evidence_lower_bound():
    trace, model, _ = traced(samples=6)
    assert_close(ImportanceWeighted(groups=6)(trace, model), -weights(trace).mean())
    assert_close(StickingTheLanding()(trace, model), -weights(trace).mean())


@few
@given(st.integers(1, 4), st.integers(1, 4))
def test_groups_are_bounds_of_their_own_that_are_averaged(groups, each):
    trace, model, _ = traced(samples=groups * each)
    parts = [part.exp().mean(0).log() for part in weights(trace).split(each)]
    assert_close(ImportanceWeighted(groups=groups)(trace, model), -torch.stack(parts).mean())


@pytest.mark.parametrize("groups", [0, 4, 7])
@pytest.mark.parametrize("term", [ImportanceWeighted, PartiallyImportanceWeighted])
def test_codes_that_cannot_be_dealt_out_are_refused(term, groups):
    trace, model, _ = traced(samples=6)
    with pytest.raises(ConfigurationError, match=rf"samples=6 .*groups={groups}"):
        term(groups=groups)(trace, model)


@pytest.mark.parametrize("name", BOUNDS)
def test_with_the_exact_posterior_every_bound_is_the_evidence(name):
    trace, model, log_p = traced(exact=True)
    assert_close(BOUNDS[name](trace, model), -log_p.mean(), rtol=1e-12, atol=0)


@torch.no_grad()
def test_more_codes_make_a_tighter_bound_below_the_evidence():
    torch.manual_seed(0)
    model, marginal = linear_gaussian()
    x = marginal.sample((3000,))
    log_w = weights(model(Batch(x), 64))
    bounds = [log_w[:k].exp().mean(0).log() for k in (1, 4, 16, 64)]
    for looser, tighter in [*pairwise(bounds), (bounds[-1], marginal.log_prob(x))]:
        rise = tighter - looser
        assert rise.mean() > 3 * rise.std() / len(x) ** 0.5
    trace = model(Batch(x), 16)
    values = {k: -ImportanceWeighted(groups=16 // k)(trace, model) for k in (1, 4, 16)}
    for k, bound in zip((1, 4, 16), bounds, strict=False):
        assert (values[k] - bound.mean()).abs() < 5 * bound.std() / len(x) ** 0.5


@pytest.mark.parametrize("name", ["piwae", "dreg"])
def test_what_changes_the_gradient_alone_has_the_value_of_iwae(name):
    trace, model, _ = traced()
    assert_close(BOUNDS[name](trace, model), ImportanceWeighted()(trace, model), rtol=1e-12, atol=0)


def test_the_rate_is_averaged_over_the_batch():
    trace, model, _ = traced()
    rate = divergence(trace.posterior, trace.prior, trace.z)
    assert_close(KL()(trace, model), rate.mean())
    monte_carlo = trace.posterior.log_prob(trace.z) - trace.prior.log_prob(trace.z)
    assert_close(-weights(trace).mean() - Reconstruction()(trace, model), monte_carlo.mean())


def test_ciwae_is_the_convex_combination_of_the_two_bounds():
    objective = construct(compose(["variant=ciwae"]).objective, "objective")
    trace, model, _ = traced(samples=objective.samples)
    beta = objective.weights(0)["kl"]
    assert 0 < beta < 1
    elbo = -Reconstruction()(trace, model) - KL()(trace, model)
    iwae = -ImportanceWeighted()(trace, model)
    total = objective.total(objective(trace, model), step=0)
    assert_close(total, -(beta * elbo + (1 - beta) * iwae))


def test_miwae_is_composed_as_a_mean_of_bounds():
    objective = construct(compose(["variant=miwae"]).objective, "objective")
    trace, model, _ = traced(samples=objective.samples)
    parts = [part.exp().mean(0).log() for part in weights(trace).chunk(4)]
    assert_close(objective(trace, model)["bound"], -torch.stack(parts).mean())


# Gradients with the same codes.


def nonlinear(posterior=DiagonalGaussian):
    torch.manual_seed(0)
    parts = {"posterior": posterior, "prior": StandardNormal, "likelihood": Bernoulli()}
    encoder, decoder = partial(MLPEncoder, widths=[6]), partial(MLPDecoder, widths=[6])
    model = autoencoder((1, 3, 3), 2, None, encoder=encoder, decoder=decoder, **parts)
    with torch.no_grad():  # far from the prior, so that the weights of the codes differ
        for parameter in model.posterior.parameters():
            parameter.mul_(3)
        model.decoder.output.weight.mul_(3)
    return model, model(Batch(torch.rand(5, 1, 3, 3)), 6), {"rtol": 2e-4, "atol": 2e-6}


def flowing():
    """Unlike a Gaussian's, a flow's log-density has another gradient at every code."""
    return nonlinear(partial(Flow, step=Planar))


def linear():
    trace, model, _ = traced()
    return model, trace, {"rtol": 1e-10, "atol": 1e-12}


@pytest.mark.parametrize("build", [linear, nonlinear, flowing])
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_piwae_follows_iwae_in_the_generative_model_and_miwae_in_the_posterior(build, groups):
    model, trace, close = build()
    generative, inference = (model.decoder, model.prior), (model.encoder, model.posterior)
    piwae = PartiallyImportanceWeighted(groups=groups)(trace, model)
    iwae, miwae = ImportanceWeighted()(trace, model), ImportanceWeighted(groups=groups)(trace, model)
    assert_close(gradients(piwae, *generative), gradients(iwae, *generative), **close)
    assert_close(gradients(piwae, *inference), gradients(miwae, *inference), **close)
    if groups > 1:
        wrong = zip(gradients(miwae, *generative), gradients(iwae, *generative), strict=True)
        assert any((a - b).abs().max() > 1e-3 for a, b in wrong)


@pytest.mark.parametrize("build", [linear, nonlinear])
def test_dregs_gradient_of_the_generative_model_is_that_of_iwae(build):
    model, trace, close = build()
    expected = gradients(ImportanceWeighted()(trace, model), model.decoder, model.prior)
    doubly = DoublyReparameterised()(trace, model)
    assert_close(gradients(doubly, model.decoder, model.prior), expected, **close)


def test_dreg_of_one_code_is_sticking_the_landing():
    trace, model, _ = traced(samples=1)
    expected = gradients(StickingTheLanding()(trace, model), model)
    assert_close(gradients(DoublyReparameterised()(trace, model), model), expected)


def test_dreg_squares_the_shares_of_the_path():
    trace, model, _ = traced()
    log_w = weights(trace)
    share = log_w.softmax(0)[..., None]
    posterior, prior, x, z = trace.posterior, trace.prior, trace.x, trace.z
    pull = (x - model.decoder(z)) @ model.decoder.weight / NOISE**2
    towards = pull - (z - prior.loc) / prior.variance + (z - posterior.loc) / posterior.variance
    path = (share.square() * towards).sum(0) / len(x)
    (found,) = torch.autograd.grad(DoublyReparameterised()(trace, model), [model.posterior.shift])
    assert_close(found, -path.sum(0))


# Gradients in expectation: every observation of the batch is a replicate with parameters of its own.


@dataclass
class Replicates:
    """The same observation and parameters many times over; leaves: by name, (replicates, ...)."""

    trace: Trace
    model: SimpleNamespace
    leaves: dict[str, Tensor]

    def estimates(self, term):
        """The gradient as each replicate estimates it, by leaf: (replicates, size)."""
        value = term(self.trace, self.model) * len(self.trace.x)
        found = torch.autograd.grad(value, list(self.leaves.values()), retain_graph=True)
        return {name: g.flatten(1) for name, g in zip(self.leaves, found, strict=True)}


INFERENCE, GENERATIVE = ("loc", "log_variance"), ("weight", "prior_loc")


def replicates(exact=False, samples=4, count=20_000):
    torch.manual_seed(2)
    model, marginal = linear_gaussian(exact)
    x = marginal.sample((1,)).expand(count, -1)

    def leaf(value):
        return value.detach().expand(count, *value.shape).clone().requires_grad_()

    posterior, prior = model.posterior(x[:1]), model.prior(None, None)
    leaves = {
        "loc": leaf(posterior.loc[0]),
        "log_variance": leaf(posterior.log_variance[0]),
        "weight": leaf(model.decoder.weight),
        "prior_loc": leaf(prior.loc),
    }
    p = Gaussian(leaves["prior_loc"], prior.log_variance.detach().expand(count, -1))
    q = Gaussian(leaves["loc"], leaves["log_variance"])

    bias = model.decoder.bias.detach()

    def likelihood_of(x, z, context=None):
        return model.likelihood(torch.einsum("bdl,sbl->sbd", leaves["weight"], z) + bias)

    z = q.rsample((samples,))
    trace = Trace(Batch(x), x, None, q, p, z, lambda: likelihood_of(x, z))
    return Replicates(trace, SimpleNamespace(likelihood_of=likelihood_of, bias=bias), leaves)


def agree(first, second):
    """Two estimators with the same codes have the same mean, within 5 standard errors of their difference."""
    error = (first - second).std(0) / len(first) ** 0.5
    assert ((first.mean(0) - second.mean(0)).abs() <= 5 * error + 1e-12).all()


@pytest.mark.parametrize(
    ("estimator", "plain"),
    [
        (StickingTheLanding(), ImportanceWeighted(groups=4)),
        (DoublyReparameterised(), ImportanceWeighted()),
    ],
)
def test_estimators_of_lower_variance_agree_with_the_plain_ones_in_expectation(estimator, plain):
    runs = replicates()
    expected, other = runs.estimates(plain), replicates().estimates(estimator)
    for name in (*INFERENCE, *GENERATIVE):
        agree(other[name], expected[name])
        assert expected[name].mean(0).abs().max() > 5 * expected[name].std(0).max() / 20_000**0.5


def closed_form(runs):
    """The exact gradient of the negative evidence lower bound in the posterior's mean and log-variance."""
    q, p, weight = runs.trace.posterior, runs.trace.prior, runs.leaves["weight"]
    mean = torch.einsum("bdl,bl->bd", weight, q.loc)
    spread = torch.einsum("bdl,bl->b", weight.square(), q.variance)
    distortion = ((runs.trace.x - mean - runs.model.bias).square().sum(-1) + spread) / (2 * NOISE**2)
    bound = (distortion + divergence(q, p, runs.trace.z)).sum()
    return torch.autograd.grad(bound, [runs.leaves[name] for name in INFERENCE])


@pytest.mark.parametrize("term", [StickingTheLanding(), ImportanceWeighted(groups=4)])
def test_the_gradient_of_the_posterior_has_the_expectation_of_the_closed_form(term):
    runs = replicates()
    for expected, name in zip(closed_form(runs), INFERENCE, strict=True):
        agree(runs.estimates(term)[name], expected)


def test_with_the_exact_posterior_the_landing_sticks():
    runs = replicates(exact=True, count=500)
    plain, path = runs.estimates(ImportanceWeighted(groups=4)), runs.estimates(StickingTheLanding())
    doubly = replicates(exact=True, count=500).estimates(DoublyReparameterised())
    for name in INFERENCE:
        assert plain[name].std(0).min() > 0.01
        assert path[name].abs().max() < 1e-12
        assert doubly[name].abs().max() < 1e-12


def test_dreg_has_the_lower_variance_in_the_posterior():
    doubly, plain = replicates(samples=8).estimates(DoublyReparameterised()), replicates(samples=8)
    expected = plain.estimates(ImportanceWeighted())
    for name in INFERENCE:
        assert (doubly[name].var(0) < 0.5 * expected[name].var(0)).all()
    for name in GENERATIVE:
        assert_close(doubly[name], expected[name])


# Company.


@pytest.mark.parametrize("company", [KL(), Reconstruction(), ImportanceWeighted(), DoublyReparameterised()])
@pytest.mark.parametrize("first", [True, False])
def test_dreg_refuses_another_term_that_reads_the_codes(company, first):
    terms = {"a": DoublyReparameterised(), "b": company}
    with pytest.raises(ConfigurationError, match=r"a, b|b, a"):
        Objective(terms if first else dict(reversed(terms.items())))


def test_dreg_stands_beside_penalties_on_the_weights():
    model, trace, close = nonlinear()
    bound = gradients(DoublyReparameterised()(trace, model), model)
    penalty = [2 * p if p.dim() > 1 else 0 * p for p in model.parameters() if p.requires_grad]
    model, trace, _ = nonlinear()
    penalised = Objective({"bound": DoublyReparameterised(), "l2": L2(), "l1": L1(weight=0.0)}, samples=6)
    total = gradients(penalised.total(penalised(trace, model), step=0), model)
    assert_close(total, tuple(g + p for g, p in zip(bound, penalty, strict=True)), **close)


@pytest.mark.parametrize("term", [StickingTheLanding(), DoublyReparameterised()])
def test_a_flow_has_no_parameters_that_could_be_held_fixed(term):
    torch.manual_seed(0)
    parts = {"prior": StandardNormal, "likelihood": Bernoulli(), "posterior": partial(Flow, step=Planar)}
    encoder, decoder = partial(MLPEncoder, widths=[6]), partial(MLPDecoder, widths=[6])
    model = autoencoder((1, 3, 3), 2, None, encoder=encoder, decoder=decoder, **parts)
    with pytest.raises(ConfigurationError, match="posterior=diagonal_gaussian"):
        term(model(Batch(torch.rand(5, 1, 3, 3)), 2), model)


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_measured_without_gradients_too(name):
    model, _, _ = linear()
    torch.manual_seed(3)
    x = torch.randn(4, 5).double()
    with torch.no_grad():
        torch.manual_seed(4)
        measured = BOUNDS[name](model(Batch(x), 6), model)
    torch.manual_seed(4)
    assert torch.equal(measured, BOUNDS[name](model(Batch(x), 6), model).detach())
