"""Bits-back coding: the same bytes back, of the length that the bound says, and refused where it must be."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from aelab.core.errors import InapplicableError
from aelab.core.records import Batch, Sizes
from aelab.jobs.ans_stack import Stack, counted, seed_words
from aelab.jobs.bits_back import BitsBack, Told
from aelab.models import Autoencoder
from aelab.models.evidence import log_mean, log_weights
from aelab.models.likelihoods import Bernoulli, BetaBinomial, Gaussian
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import BottomUp, DiagonalGaussian
from aelab.models.priors import GaussianMixture, StandardNormal, TopDown

SHAPE, LATENT, COUNT = (1, 4, 4), 3, 1500


def model(likelihood, prior=StandardNormal, upper=None):
    torch.manual_seed(0)
    sizes = Sizes(shape=SHAPE, latent=LATENT, layout=(LATENT,))
    encoder = MLPEncoder(sizes, widths=[16])
    if upper:
        posterior = BottomUp(encoder.features, sizes, upper, widths=[8])
        prior = lambda whole: TopDown(whole, upper, widths=[8])  # noqa: E731
    else:
        posterior = DiagonalGaussian(encoder.features, sizes)
    whole = Sizes(shape=SHAPE, latent=posterior.latent, layout=(posterior.latent,))
    decoder = MLPDecoder(
        Sizes(shape=likelihood.parameters_of(SHAPE), latent=LATENT, layout=(LATENT,)), widths=[16]
    )
    found = Autoencoder(encoder, posterior, decoder, likelihood, prior(whole))
    for p in found.parameters():
        nn.init.normal_(p, std=0.3)
    return found.eval()


def observations(made, levels, count=COUNT):
    """Of the model itself: the bits of others are not as if at random, and codes are drawn of them."""
    torch.manual_seed(1)
    with torch.no_grad():
        z = made.prior(None, made).sample((count,))
        x = made.decode(z[None] if z.dim() == 2 else z.movedim(1, 0)).sample()[0]
    return (x.clamp(0, 1) * (levels - 1)).round().to(torch.uint8).numpy()


CASES = {
    "binary": (lambda: model(Bernoulli()), 2),
    "levels": (lambda: model(BetaBinomial()), 256),
    "density": (lambda: model(Gaussian(scale=0.3)), 256),
    "mixture": (lambda: model(Bernoulli(), lambda whole: GaussianMixture(whole, 5)), 2),
    "layers": (lambda: model(Bernoulli(), upper=[2]), 2),
}


@pytest.mark.parametrize("codes", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_what_is_compressed_comes_back_to_the_bit(case, codes):
    make, levels = CASES[case]
    x, told = observations(make(), levels, 60), Told(None)
    words, seed = BitsBack(make(), SHAPE, levels, codes).compress(x, told)
    assert np.array_equal(BitsBack(make(), SHAPE, levels, codes).decompress(words, seed, len(x), told), x)


@pytest.mark.parametrize("codes", [1, 5])
@pytest.mark.parametrize("case", ["binary", "mixture", "layers"])
def test_the_length_is_the_bound(case, codes):
    """K codes for each cost the bound of K codes, on average, beside the bits that the stack began with."""
    make, levels = CASES[case]
    x = observations(make(), levels)
    words, seed = BitsBack(make(), SHAPE, levels, codes).compress(x, Told(None))
    found = 32 * (len(words) - seed) / len(x)
    torch.manual_seed(0)
    with torch.no_grad():
        trace = make()(Batch(torch.from_numpy(x).float() / (levels - 1)), samples=codes * 100)
        nats = -log_mean(log_weights(trace).double(), 100).mean()
    assert found == pytest.approx(float(nats) / math.log(2), rel=0.015)


def test_a_stack_gives_back_what_was_pushed_and_costs_what_it_should():
    tables = counted(np.random.default_rng(0).normal(size=(5000, 7)))
    symbols = np.array([np.random.default_rng(i).choice(7, p=t / t.sum()) for i, t in enumerate(tables)])
    stack = Stack(seed_words(4))
    stack.push(symbols, tables)
    cost = -np.log2(tables[np.arange(5000), symbols] / tables.sum(1)).sum()
    assert 32 * (len(stack.words) - 4) <= cost + 64
    assert np.array_equal(stack.pop(tables), symbols)
    assert np.array_equal(stack.words, seed_words(4))


def test_another_model_has_another_digest_and_what_cannot_serve_is_said():
    coder = BitsBack(model(Bernoulli()), SHAPE, 2)
    assert coder.digest() == BitsBack(model(Bernoulli()), SHAPE, 2).digest()
    other = model(Bernoulli())
    with torch.no_grad():
        next(other.decoder.parameters()).view(-1)[0].add_(1e-6)
    assert coder.digest() != BitsBack(other, SHAPE, 2).digest()
    other.prior = None
    with pytest.raises(InapplicableError, match="no bound to code by"):
        BitsBack(other, SHAPE, 2)
