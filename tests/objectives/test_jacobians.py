"""Penalties on Jacobians, held against closed forms of linear and sigmoid maps."""

from functools import partial

import pytest
import torch
from oracles import assert_mean
from torch import nn
from torch.testing import assert_close

from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.constrained import spectral
from aelab.models.likelihoods import Gaussian
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic
from aelab.objectives.base import Objective
from aelab.objectives.bounds import Reconstruction
from aelab.objectives.jacobians import Contractive, DecoderGradient, squared_jacobian
from aelab.objectives.penalties import L2
from aelab.objectives.sparsity import Activity, CodeNorm


def build(activation=nn.Identity, widths=(), **more):
    torch.manual_seed(0)
    encoder, decoder = partial(MLPEncoder, widths=widths), partial(MLPDecoder, widths=widths)
    posterior = partial(Deterministic, activation=activation)
    return autoencoder(
        (1, 3, 3),
        4,
        None,
        encoder=encoder,
        decoder=decoder,
        posterior=posterior,
        likelihood=Gaussian(bounds=None),
        **more,
    )


def pass_of(model, count=5):
    torch.manual_seed(1)
    return model(Batch(torch.rand(count, 1, 3, 3)))


@pytest.mark.parametrize("gradients", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_of_one_sigmoid_layer_it_is_the_closed_form_also_at_validation(gradients):
    model = build(nn.Sigmoid)
    with gradients():
        trace = pass_of(model)
        found = Contractive()(trace, model)
        h, rows = trace.z[0], model.posterior.projection.weight.square().sum(1)
    assert_close(found, ((h * (1 - h)).square() * rows).sum(1).mean())
    assert found.requires_grad == (gradients is torch.enable_grad)


def test_linear_maps_have_the_norms_of_their_matrices_and_a_repeated_batch_the_same():
    model = build()
    trace = pass_of(model)
    encoder, decoder = model.posterior.projection.weight, model.decoder.output.weight
    assert_close(Contractive()(trace, model), encoder.square().sum())
    assert_close(DecoderGradient()(trace, model), decoder.square().sum())
    assert_close(L2(slot="decoder")(trace, model), decoder.square().sum())
    twice = model(Batch(trace.x.repeat(2, 1, 1, 1)))
    assert_close(Contractive()(twice, model), Contractive()(trace, model))


def test_its_gradient_is_that_of_autograds_jacobian():
    model = build(nn.Sigmoid, widths=(6,))
    trace = pass_of(model, 2)
    weights = list(model.encoder.parameters())[:1]
    (found,) = torch.autograd.grad(Contractive()(trace, model), weights)
    whole = [
        torch.autograd.functional.jacobian(
            lambda x: model.posterior_of(x[None]).mean[0], one, create_graph=True
        )
        for one in trace.x
    ]
    (truth,) = torch.autograd.grad(torch.stack([j.square().sum() for j in whole]).mean(), weights)
    assert_close(found, truth)


def test_hutchinsons_estimate_is_unbiased():
    model = build(nn.Sigmoid, widths=(6,))
    trace = pass_of(model, 1)

    def function(x):
        return model.posterior_of(x).mean

    exact = squared_jacobian(function, trace.x)
    with torch.no_grad():
        assert_mean(torch.stack([squared_jacobian(function, trace.x, 1) for _ in range(2000)]), exact)


@pytest.mark.parametrize(
    "term", [Contractive, DecoderGradient, CodeNorm, Activity, partial(L2, slot="decoder")]
)
def test_without_weight_it_is_the_plain_model_to_the_bit(term):
    model = build(nn.Tanh, widths=(6,))
    trace, gradients = pass_of(model), []
    trained = [p for p in model.parameters() if p.requires_grad]
    for more in ({}, {"penalty": term(weight=0.0)}):
        objective = Objective({"reconstruction": Reconstruction(), **more})
        total = objective.total(objective(trace, model), 0)
        gradients.append(torch.autograd.grad(total, trained, retain_graph=True))
    for plain, penalised in zip(*gradients, strict=True):
        assert torch.equal(plain, penalised)


def test_a_spectral_decoder_stretches_nothing():
    model = build(widths=(6,), structure=spectral)
    for _ in range(50):  # steps of power iteration, one for each pass
        trace = pass_of(model)
    model.eval()
    for layer in (model.decoder.layers[0], model.decoder.output):
        assert torch.linalg.matrix_norm(layer.weight, 2).item() == pytest.approx(1, abs=1e-3)
    a, b = pass_of(model).z[0, :2]
    out = model.decode(torch.stack([a, b])[None]).mean[0]
    assert (out[0] - out[1]).norm() <= (a - b).norm() * 1.01
    assert torch.equal(pass_of(model).likelihood.mean, pass_of(model).likelihood.mean)
    assert trace.z.requires_grad
