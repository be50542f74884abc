"""What the pictures of a model hold."""

from functools import partial

import numpy as np
import pytest
import torch

from aelab.core.records import Batch
from aelab.data.kinds import Pixels
from aelab.models import autoencoder
from aelab.models.conditions import Attributes, VisibleQuadrants
from aelab.models.likelihoods import Bernoulli
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import DiagonalGaussian
from aelab.models.priors import StandardNormal
from aelab.training.callbacks.pictures import _to, pictures, samples_by_example

SIDE, FACTORS = 8, 2


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def build(conditioner=None):
    return autoencoder(
        (1, SIDE, SIDE),
        2,
        None,
        encoder=partial(MLPEncoder, widths=[8]),
        posterior=DiagonalGaussian,
        decoder=partial(MLPDecoder, widths=[8]),
        likelihood=Bernoulli(),
        prior=StandardNormal,
        conditioner=conditioner,
        attributes=FACTORS,
    )


def examples(count):
    return Batch(torch.rand(count, 1, SIDE, SIDE), None, torch.rand(count, FACTORS))


def cells(picture, columns):
    """The shown images (rows, columns, SIDE, SIDE), each pixel 7x7 and images 4 apart, below headings."""
    canvas = np.asarray(picture.convert("L")) / 255
    canvas = canvas[(canvas.shape[0] - 4) % 60 :]
    margin = canvas.shape[1] - columns * 60
    rows = (canvas.shape[0] - 4) // 60
    corners = [[(4 + 60 * i, margin + 60 * j) for j in range(columns)] for i in range(rows)]
    return torch.tensor(np.array([[canvas[y : y + 56 : 7, x : x + 56 : 7] for y, x in r] for r in corners]))


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 5, 8, 11])
def test_samples_stand_beside_the_image_whose_condition_they_follow(count):
    model, given = build(partial(VisibleQuadrants, widths=[4])), examples(count)
    shown = cells(samples_by_example(model, Pixels(), given, columns=4), 4)
    assert shown.shape == (min(count, 8), 4, SIDE, SIDE)
    for row, x in zip(shown, given.x, strict=False):
        assert (row[0] - x[0]).abs().max() < 0.003
        left = row[:, SIDE // 2 :, : SIDE // 2]  # the quadrant that is told, in the image and in every sample
        assert (left - x[0, SIDE // 2 :, : SIDE // 2]).abs().max() < 0.003
        assert (row[1:] - x[0]).abs().amax((1, 2)).min() > 0.1
        assert (row[1] - row[2]).abs().max() > 0


@torch.no_grad()
def test_attributes_are_told_with_each_image():
    model, given = build(Attributes), examples(3)
    seen = []
    model.conditioner.register_forward_hook(lambda module, args, out: seen.append(out))
    samples_by_example(model, Pixels(), given, columns=4)
    assert torch.equal(seen[0], given.attributes.repeat_interleave(3, 0))


@torch.no_grad()
@pytest.mark.parametrize("columns", [2, 3, 4, 7, 16])
@pytest.mark.parametrize("conditioner", [None, Attributes])
def test_any_number_of_columns_can_be_drawn(conditioner, columns):
    drawn = dict(pictures(build(conditioner), Pixels(), examples(9), columns, []))
    assert list(drawn) == ["reconstructions", "samples"]
    rows = columns // 2 if conditioner is None else 8
    assert cells(drawn["samples"], columns).shape == (rows, columns, SIDE, SIDE)


def test_a_batch_is_moved_whole():
    batch = Batch(torch.rand(2, 1, 3, 3), torch.arange(2), torch.rand(2, 5), torch.ones(2, 4) > 0)
    moved = _to(batch, torch.device("meta"))
    assert [value.shape for value in moved] == [value.shape for value in batch]
    assert all(value.is_meta for value in moved)
    assert _to(Batch(batch.x), torch.device("cpu")) == Batch(batch.x)
