import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.networks.conv import ConvDecoder, ConvEncoder

shapes = st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(1, 40))
channels = st.lists(st.integers(1, 4), min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(shapes, channels, st.integers(0, 2))
def test_images_of_any_size_round_trip_in_shape(shape, channels, context):
    x, c = torch.rand(2, *shape), torch.rand(2, context) if context else None
    sizes = Sizes(shape, latent=3, context=context)
    encoder = ConvEncoder(sizes, channels)
    decoder = ConvDecoder(sizes, channels)
    assert encoder(x, c).shape == (2, encoder.features)
    assert decoder(torch.randn(2, 3), c).shape == x.shape


@settings(max_examples=60, deadline=None)
@given(shapes, st.lists(st.integers(1, 4), min_size=1, max_size=4), st.sampled_from([1, 3, 5, 7]))
def test_any_kernel_and_strides_round_trip_in_shape(shape, strides, kernel):
    options = {"channels": [2] * len(strides), "kernel": kernel, "strides": strides}
    x, encoder = torch.rand(2, *shape), ConvEncoder(Sizes(shape), **options)
    assert encoder(x).shape == (2, encoder.features)
    assert ConvDecoder(Sizes(shape, 3), **options)(torch.randn(2, 3)).shape == x.shape


@settings(max_examples=20, deadline=None)
@given(shapes, channels)
def test_every_pixel_is_seen_and_every_code_reaches_some_pixel(shape, channels):
    torch.manual_seed(0)
    x = torch.rand(1, *shape, requires_grad=True)
    ConvEncoder(Sizes(shape), channels, nn.Tanh)(x).sum().backward()
    assert (x.grad != 0).all()
    z = torch.randn(1, 3, requires_grad=True)
    ConvDecoder(Sizes(shape, 3), channels, nn.Tanh)(z).sum().backward()
    assert (z.grad != 0).all()


def test_each_layer_halves_the_sides():
    assert ConvEncoder(Sizes((1, 28, 28)), [32, 64]).features == 64 * 7 * 7
    assert ConvEncoder(Sizes((1, 9, 17)), [2, 4, 8]).features == 8 * 2 * 3


def test_a_layer_of_stride_one_keeps_the_sides():
    assert ConvEncoder(Sizes((1, 9, 17)), [2, 4, 8], strides=[1, 3, 1], kernel=5).features == 8 * 3 * 6


@pytest.mark.parametrize("strides", [None, (1, 2, 3)])
def test_the_decoder_mirrors_the_encoder(strides):
    def convolutions(network):
        return [(tuple(m.weight.shape), m.stride) for m in network.layers if hasattr(m, "stride")]

    options = {"channels": [4, 5, 6], "strides": strides}
    sizes = Sizes((3, 16, 16), 2)
    encoder, decoder = ConvEncoder(sizes, **options), ConvDecoder(sizes, **options)
    assert convolutions(decoder) == convolutions(encoder)[::-1]


@pytest.mark.parametrize("network", ["encoder", "decoder"])
def test_the_context_changes_the_output(network):
    torch.manual_seed(0)
    context, sizes = torch.eye(2)[[0, 1, 0, 1]], Sizes((1, 9, 7), latent=3, context=2)
    if network == "encoder":
        part, value = ConvEncoder(sizes, [3, 4], nn.Tanh), torch.rand(4, 1, 9, 7)
    else:
        part, value = ConvDecoder(sizes, [3, 4], nn.Tanh), torch.randn(4, 3)
    changed = (part(value, context) - part(value, context.flip(1))).abs().flatten(1).amax(1)
    assert (changed > 1e-4).all()


@pytest.mark.parametrize("shape", [(64,), (28, 28), (1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("build", [ConvEncoder, ConvDecoder])
def test_what_is_no_image_is_refused_with_a_way_out(build, shape):
    with pytest.raises(ConfigurationError, match="network=mlp"):
        build(Sizes(shape, 2), [4])


@pytest.mark.parametrize(
    "options",
    [{"kernel": 4}, {"kernel": 0}, {"strides": [2]}, {"strides": [2, 2, 2]}, {"strides": [2, 0]}],
    ids=str,
)
def test_kernels_and_strides_that_fit_no_layer_are_refused(options):
    (name,) = options
    for build in (ConvEncoder, ConvDecoder):
        with pytest.raises(ConfigurationError, match=rf"network\.{name}="):
            build(Sizes((1, 8, 8), 2), [3, 4], **options)
