import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.networks.activations import Gate
from aelab.models.networks.resnet import ResidualBlock, residual


def convolutions(network):
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


@pytest.mark.parametrize(("activation", "size"), [(nn.ReLU, 8), (Gate, 16)])
@pytest.mark.parametrize("groups", [None, 4])
def test_a_block_whose_last_convolution_is_zero_is_the_identity(activation, size, groups):
    block, x = ResidualBlock(8, activation, groups), torch.randn(2, size, 5, 3)
    assert (block(x) - x).abs().max() > 1e-2
    for parameter in convolutions(block)[-1].parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(block(x), x)


def test_a_block_normalises_and_activates_before_each_convolution():
    block, x = ResidualBlock(8, nn.Tanh, groups=2), 3 + 2 * torch.randn(2, 8, 5, 3)
    h = x
    for convolution in convolutions(block):
        groups = h.unflatten(1, (2, 4))
        mean, variance = groups.mean((2, 3, 4), True), groups.var((2, 3, 4), correction=0, keepdim=True)
        normalised = ((groups - mean) / (variance + 1e-5).sqrt()).flatten(1, 2)
        h = F.conv2d(normalised.tanh(), convolution.weight, convolution.bias, padding=1)
    assert_close(block(x), x + h)


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_stage_of_identities_is_one_normalisation_and_activation(blocks):
    stage, x = residual(8, nn.ReLU, blocks, groups=2), 3 + 2 * torch.randn(2, 8, 5, 3)
    assert len(convolutions(stage)) == 2 * blocks
    for convolution in convolutions(stage):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    assert_close(stage(x), F.group_norm(x, 2).relu())


def test_a_gated_stage_gives_the_channels_of_its_name():
    assert residual(8, Gate, blocks=1, groups=4)(torch.randn(2, 16, 5, 3)).shape == (2, 8, 5, 3)


@pytest.mark.parametrize("groups", [-1, 0, 3, 8, 16])
def test_groups_that_do_not_share_the_channels_are_refused(groups):
    with pytest.raises(ConfigurationError, match=rf"stage\.groups={groups}: .*8 channels"):
        residual(8, nn.ReLU, blocks=1, groups=groups)


@pytest.mark.parametrize("blocks", [-1, 0])
def test_a_stage_without_blocks_is_refused_with_a_way_out(blocks):
    with pytest.raises(ConfigurationError, match="network=conv"):
        residual(8, nn.ReLU, blocks=blocks)
