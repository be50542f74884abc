"""Priors of symbols: causal, normalised, and at the entropy of a source of known order."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import priors
from aelab.models.distributions import SymbolPrior
from aelab.models.networks.attention import Transformer
from aelab.models.networks.causal import Dilated, Recurrent
from aelab.models.networks.pixel_cnn import PixelCNN

GRID, CODES = (3, 4), 5
NETWORKS = {
    "recurrent": Recurrent,
    "transformer": partial(Transformer, heads=2),
    "dilated": partial(Dilated, layers=3),
    "pixel cnn": partial(PixelCNN, layers=2, kernel=3),
}
every = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)


class Digits:
    """A code that is its symbols."""

    posterior = property(lambda self: self)
    symbols_of = staticmethod(lambda z: z.long())
    code_of = staticmethod(lambda symbols: symbols.float())


def prior_of(network, grid=GRID, codes=CODES, context=0):
    torch.manual_seed(0)
    size = torch.Size(grid).numel()
    sizes = Sizes(latent=size, codes=codes, symbols=grid, context=context)
    return priors.Autoregressive(sizes, network, width=8)


@every
def test_a_symbol_reads_those_before_it_and_all_of_them_at_hand(network):
    prior = prior_of(network)
    inputs = torch.randn(1, 12, 8, requires_grad=True)
    seen = torch.zeros(12, 12, dtype=torch.bool)
    for place, value in enumerate(prior.network(inputs)[0] @ torch.randn(8)):
        (slope,) = torch.autograd.grad(value, inputs, retain_graph=True)
        seen[place] = slope[0].abs().sum(-1) > 0
    assert not seen.triu(1).any()
    assert seen.diagonal().all()
    assert seen.tril(-1).sum() > 30


@every
def test_step_by_step_is_as_all_at_once(network):
    prior = prior_of(network, context=3)
    context, symbols = torch.randn(2, 3), torch.randint(CODES, (2, 12))
    p = prior(context, Digits())
    whole = p.predicted(symbols)
    for place in (0, 5, 11):
        masked = torch.where(torch.arange(12) < place, symbols, 0)
        assert_close(p.predicted(masked)[:, place], whole[:, place])
    assert p.sample((3,)).shape == (3, 2, 12)
    assert p.log_prob(p.sample((3,))).shape == (3, 2)


@every
@torch.no_grad()
def test_each_place_is_read_once_for_the_draws_of_reading_all_again(network):
    prior, read = prior_of(network, context=3), []
    p = prior(torch.randn(2, 3), Digits())
    prior.output.register_forward_hook(lambda _, inputs, __: read.append(inputs[0][..., 0].numel()))
    torch.manual_seed(1)
    drawn = p.sample((3,))
    assert sum(read) == 3 * 2 * 12
    torch.manual_seed(1)
    again = torch.zeros(3, 2, 12, dtype=torch.int64)
    for place in range(12):
        logits = p.predicted(again)[..., place, :]
        again[..., place] = (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)
    assert torch.equal(drawn.long(), again)


@every
def test_it_is_normalised(network):
    prior = prior_of(network, grid=(2, 2) if "pixel" in str(network).lower() else (4,), codes=3)
    p = prior(None, Digits())
    every_code = torch.cartesian_prod(*[torch.arange(3)] * 4).float()
    assert_close(p.log_prob(every_code).exp().sum(), torch.tensor(1.0))
    torch.manual_seed(1)
    drawn = p.sample((3000,))
    place = (drawn[:, None] == every_code).all(-1).float().argmax(1)
    shares = torch.bincount(place, minlength=81) / 3000
    assert (shares - p.log_prob(every_code).exp()).abs().max() < 0.03


def test_on_a_markov_source_it_tends_to_the_entropy_rate():
    stay, length = 0.9, 12
    generator = torch.Generator().manual_seed(0)
    flips = torch.rand(4000, length, generator=generator) > stay
    flips[:, 0] = torch.rand(4000, generator=generator) > 0.5
    symbols = flips.long().cumsum(1) % 2
    prior = prior_of(Recurrent, grid=(length,), codes=2)
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for step in range(60):
        cost = -prior(None, Digits()).log_prob_of(symbols[step % 8 :: 8][:400]).mean()
        optimizer.zero_grad()
        cost.backward()
        optimizer.step()
    rate = -(stay * torch.tensor(stay).log() + (1 - stay) * torch.tensor(1 - stay).log())
    expected = torch.tensor(2.0).log() + (length - 1) * rate
    assert_close(-prior(None, Digits()).log_prob_of(symbols).mean(), expected, rtol=0.03, atol=0)


def test_codes_that_are_shown_again_are_read_once(monkeypatch):
    p = prior_of(Recurrent)(None, Digits())
    z, calls = torch.randint(CODES, (6, 12)).float(), []
    told = SymbolPrior.predicted
    monkeypatch.setattr(SymbolPrior, "predicted", lambda p, s: calls.append(s.shape) or told(p, s))
    assert p.log_prob(z.expand(50, 6, 12)).shape == (50, 6)
    assert calls == [(1, 6, 12)]


@pytest.mark.parametrize("prior", [priors.UniformCodebook, partial(priors.Autoregressive, network=None)])
def test_codes_without_a_codebook_are_refused(prior):
    with pytest.raises(ConfigurationError, match="posterior=vector_quantised"):
        prior(Sizes(latent=4))


def test_a_pixel_cnn_is_of_maps():
    with pytest.raises(ConfigurationError, match=r"flat=false"):
        prior_of(PixelCNN, grid=(12,))
