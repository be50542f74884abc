"""Patches that are hidden: as many of each observation, unseen, and alone predicted."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.likelihoods import Gaussian
from aelab.models.masked import MaskedAutoencoder
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import Deterministic


def build(shape=(1, 8, 12), **options):
    torch.manual_seed(0)
    return autoencoder(
        shape, 3, None, encoder=partial(MLPEncoder, widths=[5]), decoder=partial(MLPDecoder, widths=[5]),
        posterior=Deterministic, likelihood=Gaussian(), structure=partial(MaskedAutoencoder, **options),
    )  # fmt: skip


def pass_of(model, x):
    torch.manual_seed(1)
    return model(Batch(x))


def test_as_many_whole_patches_of_each_image_are_hidden_and_others_of_each():
    hidden = build(patch=4, hidden=0.5).mask(torch.rand(50, 1, 8, 12))
    patches = hidden[:, 0].unfold(1, 4, 4).unfold(2, 4, 4).flatten(3)
    assert ((patches.sum(-1) == 16) | (patches.sum(-1) == 0)).all()
    assert ((patches[..., 0] == 1).flatten(1).sum(1) == 3).all()
    assert len(hidden.flatten(1).unique(dim=0)) > 10
    assert (build((13,), hidden=0.9).mask(torch.rand(5, 13)).sum(1) == 12).all()


def test_only_what_is_hidden_is_predicted_and_none_of_it_is_seen():
    model, x = build(), torch.rand(6, 1, 8, 12)
    trace = pass_of(model, x)
    hidden = trace.likelihood.hidden.bool()
    other = torch.where(hidden, torch.rand_like(x), x)
    assert torch.equal(pass_of(model, other).z, trace.z)
    assert not torch.equal(pass_of(model, torch.where(hidden, x, 0.0)).z, trace.z)
    assert torch.equal(trace.likelihood.mean[0][~hidden], x[~hidden])
    each = model.decode(trace.z).each(x)[0]
    assert_close(trace.likelihood.log_prob(x)[0], (each * hidden).flatten(1).sum(1))
    assert trace.likelihood.described == hidden[0].sum()


def test_a_patch_that_does_not_divide_the_sides_is_refused():
    with pytest.raises(ConfigurationError, match="choose a divisor"):
        pass_of(build(patch=5), torch.rand(2, 1, 8, 12))
