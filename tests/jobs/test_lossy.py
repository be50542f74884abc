"""Codes with loss: of the length that their entropy model says, and of the whole numbers that went in."""

import math

import numpy as np
import pytest
import torch
from linear_gaussian import linear_gaussian
from scipy.stats import norm

from aelab.config.compose import compose
from aelab.jobs.bits_back import Told
from aelab.jobs.compression_baselines import mosaic, sizes, unfolded
from aelab.jobs.lossy import Grid, Lossy
from aelab.runs.build import build

COUNT, NOBODY = 1200, Told(None)


@pytest.fixture(scope="module")
def exact():
    model, evidence = linear_gaussian(exact=True)
    torch.manual_seed(0)
    x = evidence.sample((COUNT,))
    codes = model.posterior_of(x).mean.detach()
    return model, x, codes


@pytest.mark.parametrize("step", [0.02, 0.5, 3.0])
def test_the_length_of_real_codes_is_their_cross_entropy(exact, step):
    model, x, codes = exact
    grid = Grid.fitted(codes, step)
    coder = Lossy(model, tuple(x.shape[1:]), grid)
    whole = coder.whole(x, NOBODY)
    words, seed = coder.compress(whole, NOBODY)
    mean, deviation = grid.parameters
    mass = norm.cdf(whole + 0.5, mean, deviation) - norm.cdf(whole - 0.5, mean, deviation)
    assert 32 * (len(words) - seed) <= -np.log2(mass).sum() * 1.001 + 64
    again = Lossy(model, tuple(x.shape[1:]), grid).decompress(words, seed, COUNT, NOBODY)
    assert np.array_equal(again, whole)
    assert np.abs(whole * grid.step - codes.numpy()).max() <= grid.step / 2 + 1e-9


def test_fine_steps_cost_the_entropy_and_one_bit_for_each_halving(exact):
    """Of Gaussian codes, log2(deviation / step) + log2(2 pi e) / 2 bits each: the closed form."""
    model, x, codes = exact
    lengths = []
    for step in (0.1, 0.05):
        grid = Grid.fitted(codes, step)
        coder = Lossy(model, tuple(x.shape[1:]), grid)
        words, seed = coder.compress(coder.whole(x, NOBODY), NOBODY)
        lengths.append(32 * (len(words) - seed) / COUNT)
        bits = (codes.std(0) / grid.step).log2().sum() + codes.shape[1] * 0.5 * math.log2(
            2 * math.pi * math.e
        )
        assert lengths[-1] == pytest.approx(float(bits), rel=0.01)
    assert lengths[1] - lengths[0] == pytest.approx(codes.shape[1], rel=0.01)


def test_a_code_that_never_varies_is_nearly_free(exact):
    grid = Grid.fitted(torch.cat([exact[2], torch.full((COUNT, 1), 5.0)], 1), 0.5)
    alone = Grid.fitted(torch.full((COUNT, 4), 5.0), 0.5)
    mean, deviation = grid.parameters
    away = grid.step * (mean[-1] - round(mean[-1]))
    assert norm.sf(0.5 - away, 0, deviation[-1]) < 1e-6
    assert alone.step > 0


@pytest.fixture(scope="module")
def book():
    options = ["variant=vq_vae", "prior=transformer", "data=digits", "logger=[]"]
    torch.manual_seed(0)
    return build(compose(options)).training.model.eval()


def test_symbols_cost_what_the_prior_says_and_come_back(book):
    coder = Lossy(book, (1, 8, 8), None)
    torch.manual_seed(1)
    whole = coder.whole(torch.rand(600, 1, 8, 8), NOBODY)
    words, seed = coder.compress(whole, NOBODY)
    prior = coder.model.prior(None, coder.model)
    with torch.no_grad():
        bits = -float(prior.log_prob_of(torch.from_numpy(whole.astype(np.int64))).sum()) / math.log(2)
    assert bits - 64 <= 32 * (len(words) - seed) <= bits * 1.001 + 64
    assert np.array_equal(Lossy(book, (1, 8, 8), None).decompress(words, seed, 600, NOBODY), whole)


def test_what_is_shown_is_what_the_codebooks_codes_are_decoded_to(book):
    coder, x = Lossy(book, (1, 8, 8), None), torch.rand(5, 1, 8, 8)
    found = coder.shown(coder.whole(x, NOBODY), NOBODY, lambda p: p.mean)
    with torch.no_grad():
        expected = book.decode(book.posterior_of(x).mean[None]).mean[0]
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_mosaic_unfolds_and_other_ways_give_their_sizes():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 3, 4, 5), np.uint8)
    assert np.array_equal(unfolded(mosaic(pixels), pixels.shape), pixels)
    black = np.zeros((64, 1, 28, 28), np.uint8)
    assert all(size < 400 for _, size in sizes(black, 2))
    assert dict(sizes(pixels[:, :1], 256))["gzip"] > pixels[:, :1].size
