"""Greedy pretraining: which layer has its turn, and what it is asked for."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.conditions import OneHot
from aelab.models.likelihoods import Gaussian
from aelab.models.networks.conv import ConvDecoder, ConvEncoder
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic
from aelab.objectives.bounds import Reconstruction
from aelab.objectives.layerwise import Layerwise


def build(widths=(6, 5), **parts):
    torch.manual_seed(0)
    mlp = {
        "encoder": partial(MLPEncoder, widths=list(widths)),
        "decoder": partial(MLPDecoder, widths=list(widths)[::-1]),
    }
    return autoencoder((1, 4, 4), 3, 4, posterior=Deterministic, likelihood=Gaussian(), **{**mlp, **parts})


CONV = {"encoder": partial(ConvEncoder, channels=[3, 4]), "decoder": partial(ConvDecoder, channels=[3, 4])}
TURNS = [
    ({"encoder.layers.0", "decoder.output"}, {"encoder.layers.0", "decoder.layers.3"}),
    ({"encoder.layers.2", "decoder.layers.2"}, {"encoder.layers.2", "decoder.layers.1"}),
    ({"posterior.projection", "decoder.layers.0"}, {"posterior.projection", "decoder.projection"}),
]


@pytest.mark.parametrize("turn", [0, 1, 2])
@pytest.mark.parametrize("parts", [{}, CONV], ids=["mlp", "conv"])
def test_each_layer_and_its_mirror_are_trained_in_their_turn_alone(turn, parts):
    model, term = build(**parts), Layerwise()
    term.progress.plan(300)
    trace = model(Batch(torch.rand(5, 1, 4, 4)), step=100 * turn + 50)
    term(trace, model).backward()
    moved = {
        name.rpartition(".")[0] for name, p in model.named_parameters() if p.requires_grad and p.grad.any()
    }
    assert moved == TURNS[turn][bool(parts)]


def test_one_layer_is_the_plain_autoencoder():
    model, term = build(widths=()), Layerwise(masking=0.0)
    term.progress.plan(10)
    trace = model(Batch(torch.rand(5, 1, 4, 4)))
    assert_close(term(trace, model), Reconstruction()(trace, model))


def test_a_hidden_layer_gives_back_what_the_one_below_it_gives():
    model, term = build(), Layerwise(masking=0.0)
    term.progress.plan(3)
    trace = model(Batch(torch.rand(5, 1, 4, 4)), step=2)
    h = model.encoder(trace.x)
    back = model.decoder.layers[:2](model.posterior.projection(h))
    assert_close(term(trace, model), (back - h).square().sum(1).mean() / 2)


def test_layers_without_a_mirror_are_refused():
    model = build(conditioner=OneHot)
    with pytest.raises(ConfigurationError, match="condition=none"):
        Layerwise()(model(Batch(torch.rand(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64))), model)
    uneven = build(decoder=partial(MLPDecoder, widths=[5]))
    with pytest.raises(ConfigurationError, match="as deep in both"):
        Layerwise()(uneven(Batch(torch.rand(2, 1, 4, 4))), uneven)
