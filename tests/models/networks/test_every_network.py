"""What holds for the encoder and decoder of every file under conf/network, at its own sizes."""

from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import of_numbers
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.records import Sizes

NORMALISED = ["network=resnet", "network.stage.groups=8"]
GATED = [*NORMALISED, "network.activation._target_=aelab.models.networks.activations.Gate"]
COMBINED = {"normalised_resnet": NORMALISED, "gated_resnet": GATED}
NETWORKS = [*of_numbers("network"), *COMBINED]
IMAGE, LATENT, CONTEXT = (3, 12, 10), 4, 2


@cache
def factories(name):
    model = compose(["logger=csv", *COMBINED.get(name, [f"network={name}"])]).model
    return construct(model.encoder, "encoder"), construct(model.decoder, "decoder")


def pair(name, shape=IMAGE, context=CONTEXT):
    """The encoder and decoder of a network in double precision, each with four inputs and their contexts."""
    torch.manual_seed(0)
    encoder, decoder = factories(name)
    sizes = Sizes(shape, LATENT, context=context)
    c = torch.eye(2).double()[[0, 1, 0, 1], :context] if context else None
    return [
        (encoder(sizes).double(), torch.rand(4, *shape).double(), c),
        (decoder(sizes).double(), torch.randn(4, LATENT).double(), c),
    ]


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=8, deadline=None)
@given(
    channels=st.sampled_from([1, 3]),
    sides=st.tuples(st.integers(1, 33), st.integers(1, 33)),
    context=st.integers(0, 2),
    parameters=st.sampled_from([1, 2, 10]),
)
def test_images_of_any_size_grey_or_colour(name, channels, sides, context, parameters):
    (encoder, x, c), _ = pair(name, (channels, *sides), context)
    _, (decoder, z, _) = pair(name, (parameters * channels, *sides), context)
    assert encoder(x, c).shape == (4, encoder.features)
    assert decoder(z, c).shape == (4, parameters * channels, *sides)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_every_parameter(name):
    for network, value, c in pair(name):
        output = network(value.requires_grad_(), c)
        (output * torch.randn_like(output)).sum().backward()
        assert all(tensor.grad.any() for tensor in (value, *network.parameters()))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_context_changes_every_output(name):
    for network, value, c in pair(name):
        changed = (network(value, c) - network(value, c.flip(1))).abs().flatten(1).amax(1)
        assert (changed > 1e-9).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_an_image_is_coded_alone_as_in_any_batch(name):
    for network, value, c in pair(name):
        network.eval()  # while training, some normalise over the batch
        alone = torch.cat([network(value[i : i + 1], c[i : i + 1]) for i in range(4)])
        assert_close(network(value, c), alone)


@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_one_pixel_stay_apart(name):
    (encoder, x, _), (decoder, z, _) = pair(name, (1, 1, 1), context=0)
    for output in (encoder(x), decoder(z)):
        assert torch.pdist(output.flatten(1)).min() > 1e-9
