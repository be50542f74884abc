"""Decoders that share the encoder's weights."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models import Autoencoder, autoencoder
from aelab.models.conditions import OneHot
from aelab.models.constrained import Tied, tied
from aelab.models.likelihoods import Gaussian
from aelab.models.networks.conv import ConvDecoder, ConvEncoder
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic, DiagonalGaussian

MLP = {"encoder": partial(MLPEncoder, widths=[6, 5]), "decoder": partial(MLPDecoder, widths=[5, 6])}
CONV = {
    "encoder": partial(ConvEncoder, channels=[3, 4]),
    "decoder": partial(ConvDecoder, channels=[3, 4]),
}
MAPS = {**CONV, "encoder": partial(ConvEncoder, channels=[3, 4], flat=False)}


def build(structure, posterior=Deterministic, likelihood=None, **parts):
    torch.manual_seed(0)
    return autoencoder(
        (2, 5, 7),
        3,
        4,
        posterior=posterior,
        likelihood=likelihood or Gaussian(),
        structure=structure,
        **parts,
    )


def loss(model, given):
    return -model(given).likelihood.log_prob(given.x).mean()


def given(count=3):
    return Batch(torch.rand(count, 2, 5, 7), torch.arange(count))


@pytest.mark.parametrize("parts", [MLP, CONV, MAPS], ids=["mlp", "conv", "maps"])
def test_a_shared_weight_has_the_sum_of_both_gradients(parts):
    ours, free, x = build(tied, **parts), build(Autoencoder, **parts), given()
    maps = [m for m in free.decoder.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    ties = [m for m in ours.decoder.modules() if isinstance(m, Tied)]
    assert len(maps) == len(ties) == 3
    free.load_state_dict(ours.state_dict(), strict=False)
    with torch.no_grad():
        for layer, tie in zip(maps, ties, strict=True):
            layer.weight.copy_(tie.weight())
    loss(ours, x).backward()
    loss(free, x).backward()
    for layer, tie in zip(maps, ties, strict=True):
        shared = tie.source[0]
        (alone,) = (m for n, m in free.named_modules() if m is not shared and n == name_of(ours, shared))
        turned = (
            layer.weight.grad if isinstance(layer, nn.ConvTranspose2d) else layer.weight.grad.transpose(0, 1)
        )
        assert_close(shared.weight.grad, alone.weight.grad + turned)


def name_of(model, module):
    return next(name for name, each in model.named_modules() if each is module)


def test_a_copy_is_tied_to_itself_and_no_weight_is_kept_twice():
    model, x = build(tied, **MLP), given()
    twin = deepcopy(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert not torch.equal(twin(x).likelihood.mean, model(x).likelihood.mean)
    assert not [name for name in model.state_dict() if name.startswith("decoder") and "weight" in name]


@pytest.mark.parametrize("posterior", [Deterministic, DiagonalGaussian])
@pytest.mark.parametrize("parts", [MLP, CONV], ids=["mlp", "conv"])
def test_what_a_condition_adds_and_a_scale_are_not_shared(parts, posterior):
    model = build(tied, posterior, conditioner=OneHot, **parts)
    loss(model, given()).backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    (extra,) = (p for name, p in model.named_parameters() if name.endswith("extra"))
    assert extra.shape[1] == 4


@pytest.mark.parametrize(
    "parts",
    [
        {**MLP, "decoder": partial(MLPDecoder, widths=[6, 6])},
        {**MLP, "decoder": partial(MLPDecoder, widths=[5])},
        {**MLP, "likelihood": Gaussian(per_pixel=True)},
        {**CONV, "decoder": partial(ConvDecoder, channels=[4, 4])},
    ],
)
def test_a_decoder_of_another_shape_is_refused(parts):
    with pytest.raises(ConfigurationError, match="choose"):
        build(tied, **parts)
