from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.core.schedules import Linear, Schedule
from aelab.metrics.estimands import evidence
from aelab.models import autoencoder
from aelab.models.likelihoods import Bernoulli, Gaussian
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic, DiagonalGaussian
from aelab.models.priors import StandardNormal
from aelab.objectives.base import Objective, Term
from aelab.objectives.bounds import KL, Reconstruction
from aelab.objectives.penalties import L1, L2

weights = st.floats(0, 100)


def build(**slots):
    torch.manual_seed(0)
    parts = {"posterior": DiagonalGaussian, "prior": StandardNormal, "likelihood": Bernoulli(), **slots}
    encoder, decoder = partial(MLPEncoder, widths=[4]), partial(MLPDecoder, widths=[4])
    return autoencoder((1, 3, 3), 2, None, encoder=encoder, decoder=decoder, **parts)


def trace_of(model, samples=1, count=5):
    torch.manual_seed(1)
    return model(Batch(torch.rand(count, 1, 3, 3)), samples)


def elbo(beta=1.0, **terms):
    return Objective({"reconstruction": Reconstruction(), "kl": KL(beta), **terms})


@pytest.mark.parametrize("samples", [1, 4])
@pytest.mark.parametrize("likelihood", [Bernoulli(), Gaussian(0.3)])
def test_the_unweighted_total_is_the_negative_bound_that_is_measured(samples, likelihood):
    model = build(likelihood=likelihood)
    trace = trace_of(model, samples)
    values = elbo()(trace, model)
    measured = {name: each.mean() for name, each in evidence(trace).items()}
    assert_close(-elbo().total(values, step=0).double(), measured["elbo"])
    assert_close(values["reconstruction"].double(), measured["distortion"])
    assert_close(values["kl"].double(), measured["kl"])


def test_terms_are_nats_for_each_sample_whatever_the_batch_size():
    model = build()
    whole = trace_of(model, count=6)
    torch.manual_seed(2)
    parts = [model(Batch(whole.x[i : i + 1])) for i in range(6)]
    kl = torch.stack([elbo()(part, model)["kl"] for part in parts]).mean()
    assert_close(elbo()(whole, model)["kl"], kl)
    cost = torch.stack([-part.likelihood.log_prob(part.x).sum() for part in parts]).mean()
    assert_close(torch.stack([elbo()(part, model)["reconstruction"] for part in parts]).mean(), cost)


def test_the_rate_is_the_divergence_of_torch():
    model = build()
    trace = trace_of(model)
    q, p = td.Normal(trace.posterior.mean, trace.posterior.stddev), td.Normal(0.0, 1.0)
    assert_close(elbo()(trace, model)["kl"], td.kl_divergence(q, p).sum(1).mean())


@given(beta=weights)
def test_beta_scales_the_rate_and_nothing_else(beta):
    model = build()
    trace = trace_of(model)
    plain, scaled = elbo()(trace, model), elbo(beta)(trace, model)
    assert {name: value.item() for name, value in plain.items()} == {
        name: value.item() for name, value in scaled.items()
    }
    expected = plain["reconstruction"] + beta * plain["kl"]
    assert_close(elbo(beta).total(scaled, step=0), expected)


@given(st.lists(st.tuples(weights, st.floats(-100, 100)), min_size=1, max_size=5))
def test_the_total_is_the_weighted_sum_and_its_gradients_are_the_weights(pairs):
    names = [f"term_{i}" for i in range(len(pairs))]
    objective = Objective({name: KL(weight) for name, (weight, _) in zip(names, pairs, strict=True)})
    values = {n: torch.tensor(v, requires_grad=True) for n, (_, v) in zip(names, pairs, strict=True)}
    total = objective.total(values, step=3)
    assert total.item() == pytest.approx(sum(w * v for w, v in pairs), rel=1e-4, abs=1e-2)
    gradients = torch.autograd.grad(total, list(values.values()))
    assert_close(torch.stack(gradients), torch.tensor([w for w, _ in pairs]))


class StepItself(Schedule):
    def __call__(self, step):
        return float(step)


@given(step=st.integers(0, 10_000))
def test_a_weight_may_be_a_schedule_of_the_step(step):
    objective = Objective({"a": KL(StepItself()), "b": KL(Linear(steps=10)), "c": KL(2.0)})
    expected = {"a": float(step), "b": min(1.0, step / 10), "c": 2.0}
    assert objective.weights(step) == pytest.approx(expected)
    values = {"a": torch.tensor(3.0), "b": torch.tensor(5.0), "c": torch.tensor(7.0)}
    assert_close(objective.total(values, step), torch.tensor(3 * step + 5 * expected["b"] + 14.0))


@pytest.mark.parametrize(
    "slots",
    [
        {"posterior": Deterministic},
        {"prior": None},
        {"posterior": Deterministic, "prior": None},
    ],
    ids=["a point as posterior", "no prior", "a plain autoencoder"],
)
def test_the_rate_is_refused_where_it_is_not_defined(slots):
    model = build(**slots)
    trace = trace_of(model)
    with pytest.raises(ConfigurationError, match="objective=reconstruction"):
        KL()(trace, model)
    assert Reconstruction()(trace, model).isfinite()


@pytest.mark.parametrize(("penalty", "power"), [(L1, 1), (L2, 2)])
def test_a_penalty_is_the_sum_over_weight_matrices_without_biases_and_scales(penalty, power):
    model = build(likelihood=Gaussian(0.3, learned=True))
    matrices = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
    expected = sum(weight.double().abs().pow(power).sum() for weight in matrices)
    value = penalty()(trace_of(model), model)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.fill_(100)
    assert torch.equal(penalty()(trace_of(model), model), value)


def test_a_penalty_leaves_frozen_weights_alone():
    model = build()
    model.encoder.requires_grad_(False)
    value = L2()(trace_of(model), model)
    value.backward()
    rest = [p for p in (*model.decoder.parameters(), *model.posterior.parameters()) if p.dim() > 1]
    assert_close(value, sum(p.square().sum() for p in rest))
    assert_close([p.grad for p in rest], [2 * p.detach() for p in rest])


@pytest.mark.parametrize("samples", [0, -1])
def test_an_objective_needs_at_least_one_code(samples):
    with pytest.raises(ConfigurationError, match="samples"):
        Objective({"kl": KL()}, samples)


def test_an_objective_needs_at_least_one_term():
    with pytest.raises(ConfigurationError, match="terms"):
        Objective({})


def test_a_term_cannot_be_half_made():
    with pytest.raises(TypeError, match="abstract"):
        Term()


def test_the_parameters_of_terms_belong_to_the_objective():
    class Learned(KL):
        def __init__(self):
            super().__init__()
            self.critic = nn.Linear(2, 1)

    assert len(list(Objective({"kl": KL(), "learned": Learned()}).parameters())) == 2
