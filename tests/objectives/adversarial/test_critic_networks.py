"""Networks of critics: shapes, conditions by projection, and the deviation over the batch."""

import pytest
import torch
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.config.folders import choices
from aelab.core.errors import ConfigurationError
from aelab.objectives.adversarial.comparisons import Sample


def network(choice, shapes=((1, 8, 8),), context=0, outputs=1, **options):
    node = compose(["critic=[samples]", f"critic/network={choice}"]).critic.network
    return construct(node, "critic.network")(shapes=shapes, context=context, outputs=outputs, **options)


@pytest.mark.parametrize("choice", choices("critic/network"))
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 7)], ids=str)
def test_every_network_scores_images_alone_and_under_a_condition(choice, shape):
    found = network(choice, [shape], context=4)(Sample((torch.rand(5, *shape),), torch.rand(5, 4)))
    assert found.shape[:2] == (5, 1)
    assert (found.dim() == 4) == (choice == "patch")


@pytest.mark.parametrize("choice", ["mlp", "conv", "patch", "resnet"])
@pytest.mark.parametrize("options", [{}, {"deviation": True}, {"projection": True}], ids=str)
def test_pairs_and_several_outputs(choice, options):
    critic = network(choice, [(1, 8, 8), (3,)], context=4, outputs=6, **options)
    parts = (torch.rand(5, 1, 8, 8), torch.randn(5, 3))
    assert critic(Sample(parts, torch.rand(5, 4))).shape[:2] == (5, 6)


@pytest.mark.parametrize("choice", ["conv", "patch", "resnet"])
def test_a_code_and_a_label_join_what_a_convolutional_trunk_has_read_of_the_image(choice):
    """And the score of each pair is its own: what a penalty on each one's gradient takes for granted."""
    critic = network(choice, [(1, 8, 8), (3,)], context=2)
    x, z, c = (torch.rand(5, *shape, requires_grad=True) for shape in ((1, 8, 8), (3,), (2,)))
    assert critic.trunk.layers[0].in_channels == 1
    assert_close(critic.features(Sample((x, z), c)), critic.features(Sample((x, -z), -c)), rtol=0, atol=0)
    score = critic(Sample((x, z), c))[2].sum()
    for gradient in torch.autograd.grad(score, (x, z, c)):
        moved = gradient.flatten(1).abs().sum(1) > 0
        assert moved.tolist() == [False, False, True, False, False]


def test_without_anything_to_be_told_there_is_nothing_to_join():
    assert not list(network("conv").joint)
    assert not list(network("conv", context=4, projection=True).joint)


@pytest.mark.parametrize("choice", ["mlp", "patch"])
def test_a_projected_condition_adds_its_inner_product_to_the_score_alone(choice):
    critic = network(choice, context=4, outputs=3, projection=True)
    x, c = torch.rand(5, 1, 8, 8), torch.rand(5, 4)
    told, untold = critic(Sample((x,), c)), critic(Sample((x,), torch.zeros(5, 4)))
    features = critic.features(Sample((x,), c))
    inner = torch.einsum("nf,nf...->n...", c @ critic.embedding.weight.T, features)
    assert_close(told[:, 0] - untold[:, 0], inner)
    assert_close(told[:, 1:], untold[:, 1:])


def test_a_critic_of_deviations_sees_samples_that_are_all_alike():
    critic = network("mlp", deviation=True)
    x = torch.rand(1, 1, 8, 8).repeat(6, 1, 1, 1)
    alike = critic(Sample((x,), None))
    other = critic(Sample((torch.cat([x[:1], torch.rand(5, 1, 8, 8)]),), None))
    assert not torch.allclose(alike[0], other[0])


def test_the_score_of_an_autoencoder_is_minus_its_error_of_a_value():
    critic = network("autoencoder")
    x = torch.rand(5, 1, 8, 8)
    back = critic.decoder(critic.code(critic.encoder(x)))
    assert_close(critic(Sample((x,), None))[:, 0], -(back - x).abs().mean((1, 2, 3)))


def test_what_a_network_cannot_do_is_refused():
    with pytest.raises(ConfigurationError, match="condition=label"):
        network("mlp", projection=True)
    with pytest.raises(ConfigurationError, match="critic/network=mlp"):
        network("autoencoder", [(1, 8, 8), (3,)])
    with pytest.raises(ConfigurationError, match="network=mlp"):
        network("conv", [(16,)])
    with pytest.raises(ConfigurationError, match="joint=0"):
        network("conv", context=2, joint=[0])
