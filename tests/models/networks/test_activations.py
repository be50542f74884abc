import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from aelab.core.records import Sizes
from aelab.models.networks.activations import Gate, arity
from aelab.models.networks.conv import ConvDecoder, ConvEncoder
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder


def gated(operation, layer, x):
    """(W x + b) * sigmoid(V x + c): W and b are the first half of a layer's parameters, V and c the other."""
    (w, v), (b, c) = layer.weight.chunk(2), layer.bias.chunk(2)
    return operation(x, w, b) * torch.sigmoid(operation(x, v, c))


@pytest.mark.parametrize("shape", [(6,), (4, 3, 5)], ids=str)
def test_a_gate_passes_what_its_second_half_lets_through(shape):
    a = torch.randn(2, *shape)
    for b, share in ((-100.0, 0.0), (0.0, 0.5), (100.0, 1.0)):
        assert_close(Gate()(torch.cat([a, torch.full_like(a, b)], 1)), share * a)


def test_only_a_gate_takes_two_values_for_each_that_it_gives():
    assert [arity(activation) for activation in (Gate, nn.ReLU, nn.Tanh, nn.Identity)] == [2, 1, 1, 1]


def test_gated_layers_are_the_formula():
    x, z = torch.randn(6, 5), torch.randn(6, 3)
    encoder, decoder = MLPEncoder(Sizes((5,)), [4, 2], Gate), MLPDecoder(Sizes((5,), 3), [4], Gate)
    first, second = encoder.layers[0], encoder.layers[2]
    assert_close(encoder(x), gated(F.linear, second, gated(F.linear, first, x)))
    assert encoder.features == 2
    assert_close(decoder(z), decoder.output(gated(F.linear, decoder.layers[0], z)))


def test_gated_convolutions_are_the_formula():
    def convolve(x, weight, bias):
        return F.conv2d(x, weight, bias, stride=2, padding=1)

    x = torch.randn(6, 3, 9, 7)
    encoder = ConvEncoder(Sizes((3, 9, 7)), [4, 2], Gate)
    first, second = encoder.layers[0], encoder.layers[2]
    assert_close(encoder(x), gated(convolve, second, gated(convolve, first, x)).flatten(1))
    assert encoder.features == 2 * 3 * 2


def test_a_gated_convolutional_decoder_gates_all_but_its_output():
    z = torch.randn(6, 3)
    decoder = ConvDecoder(Sizes((1, 9, 7), 3), [4, 2], Gate)
    start = gated(F.linear, decoder.projection, z).unflatten(1, (2, 3, 2))
    a, b = decoder.layers[1](start).chunk(2, 1)
    assert a.shape == (6, 4, 5, 4)
    assert_close(decoder(z), decoder.layers[3](a * b.sigmoid()))
