import itertools
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.records import Sizes
from aelab.models.networks.activations import Gate
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder

PRESETS = {
    "mlp_32": (784, 32, 784),
    "mlp_64_32": (784, 64, 32, 64, 784),
    "mlp_128_64_32_16": (784, 128, 64, 32, 16, 32, 64, 128, 784),
    "mlp_200_200_50_tanh": (784, 200, 200, 50, 200, 200, 784),
    "mlp_1000_500_250_30": (784, 1000, 500, 250, 30, 250, 500, 1000, 784),
}
RECTIFIED_CODES = ["mlp_32", "mlp_64_32"]
WIDTHS = [(), (7,), (7, 3)]


def preset(name):
    return construct(compose(["variant=ae", "data=mnist", "logger=csv", f"network={name}"]).model, "model")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_layers_of_its_name(name):
    torch.manual_seed(0)
    model = preset(name)
    sizes = PRESETS[name]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(itertools.pairwise(sizes))
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert count == sum(a * b + b for a, b in itertools.pairwise(sizes))
    code = model.encode(torch.rand(50, 1, 28, 28)).mean
    assert (code.min() >= 0) == (name in RECTIFIED_CODES)
    assert code.max() > 0


def test_the_gated_preset_has_two_maps_for_each_hidden_layer_of_its_name():
    model = preset("gated_mlp_300_300_40")
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [
        (784, 600), (300, 600), (300, 40), (40, 600), (300, 600), (300, 784)
    ]  # fmt: skip
    assert sum(isinstance(module, Gate) for module in model.modules()) == 4


def test_burdas_preset_has_a_tanh_for_each_hidden_layer():
    assert sum(isinstance(module, nn.Tanh) for module in preset("mlp_200_200_50_tanh").modules()) == 4


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
@pytest.mark.parametrize("shape", [(5,), (2, 3, 4)], ids=str)
def test_any_shape_and_widths(shape, widths):
    x, context = torch.randn(6, *shape), torch.randn(6, 2)
    sizes = Sizes(shape, latent=3, context=2)
    encoder, decoder = MLPEncoder(sizes, widths), MLPDecoder(sizes, widths)
    assert encoder(x, context).shape == (6, encoder.features)
    assert decoder(torch.randn(6, 3), context).shape == x.shape


def test_without_layers_the_encoder_gives_the_observation_and_its_context():
    x, context = torch.randn(6, 2, 3), torch.randn(6, 4)
    assert_close(MLPEncoder(Sizes((2, 3), context=4), [])(x, context), torch.cat([x.flatten(1), context], 1))


def test_without_layers_the_decoder_is_linear():
    decoder = MLPDecoder(Sizes((2, 2), 3), [])
    a, b = torch.randn(2, 6, 3)
    assert_close(decoder(a) + decoder(b), decoder(a + b) + decoder(torch.zeros(6, 3)))


def test_an_activation_follows_each_hidden_layer():
    encoder = MLPEncoder(Sizes((5,)), [4, 3], activation=nn.Tanh)
    x = torch.randn(6, 5)
    first, second = (module for module in encoder.modules() if isinstance(module, nn.Linear))
    assert_close(encoder(x), second(first(x).tanh()).tanh())


@pytest.mark.parametrize("widths", WIDTHS, ids=str)
def test_the_context_changes_the_output(widths):
    torch.manual_seed(0)
    x, z, context = torch.randn(6, 5), torch.randn(6, 3), torch.eye(2)[[0, 1, 0, 1, 0, 1]]
    sizes = Sizes((5,), latent=3, context=2)
    for part, value in ((MLPEncoder, x), (MLPDecoder, z)):
        network = part(sizes, widths, nn.Tanh)
        changed = (network(value, context) - network(value, context.flip(1))).abs().amax(1)
        assert (changed > 1e-4).all()


def test_features_count_what_the_encoder_gives():
    assert MLPEncoder(Sizes((2, 3)), [7, 4]).features == 4
    assert MLPEncoder(Sizes((2, 3)), []).features == math.prod((2, 3))
