"""Sequences of tokens, each given those before it: probabilities, padding, and what is read before what."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.records import Sizes
from aelab.models.distributions.sequences import END, PAD, padded
from aelab.models.likelihoods import Autoregressive
from aelab.models.networks.attention import TokenTransformer, Transformer, turned
from aelab.models.networks.causal import Causal, Dilated, Recurrent
from aelab.models.networks.recurrent import TokenEncoder

VOCABULARY, LENGTH, WIDTH = 4, 3, 8


class Sums(Causal):
    """The running sum of the inputs, which walks by what every causal network has."""

    def __init__(self, width):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, inputs):
        return self.layer(inputs.cumsum(1)).tanh()


def lstm(width):
    return Recurrent(width, layers=2, cell=nn.LSTM)


def likelihood_of(network=Recurrent, length=LENGTH, **options):
    torch.manual_seed(0)
    found = Autoregressive(VOCABULARY, length, network, WIDTH, **options)
    return found, found(torch.randn(1, 2, WIDTH))


def sequences(length=LENGTH):
    """All that there are: ended by END, or as long as they may be."""
    every = torch.tensor(list(product(range(END, VOCABULARY), repeat=length)))
    return padded(every).unique(dim=0)


def attention(width):
    return Transformer(width, heads=2)


def dilated(width):
    return Dilated(width, layers=2)


NETWORKS = {"gru": Recurrent, "lstm": lstm, "sums": Sums, "attention": attention, "dilated": dilated}
OPTIONS = {**{name: {"network": network} for name, network in NETWORKS.items()}, "skip": {"skip": True}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_probabilities_of_all_sequences_sum_to_one(options):
    _, p = likelihood_of(**options)
    total = sum(p.log_prob(row.expand(2, -1)).exp() for row in sequences())
    assert_close(total, torch.ones(1, 2))


def test_samples_are_as_frequent_as_probable_and_the_mode_is_walked():
    _, p = likelihood_of()
    drawn, every = p.sample((4000,))[:, 0, 0], sequences()
    shares = (drawn[:, None] == every).all(-1).float().mean(0)
    probable = torch.stack([p.log_prob(row.expand(2, -1))[0, 0].exp() for row in every])
    assert ((shares - probable).abs() < 4 * (probable / 4000).sqrt() + 1e-3).all()
    first = p.predicted(torch.full((2, LENGTH), 2))[0, :, 0].argmax(-1) + 1
    assert torch.equal(p.mode[0, :, 0], first)


@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_step_by_step_is_as_teacher_forced_and_nothing_reads_ahead(network):
    likelihood, p = likelihood_of(network, length=6)
    x = torch.tensor([[2, 3, 3, 2, 3, 2], [3, 2, 2, 2, END, PAD]])
    taught, told = p.predicted(x)[0], p.told[0][:, None]
    last, state, stepped = torch.full((2, 1), VOCABULARY), None, []
    for place in range(6):
        features, state = likelihood.network.step(likelihood.symbol(last) + told, state)
        stepped.append(likelihood._read(features, told))
        last = x[:, place : place + 1]
    assert_close(torch.cat(stepped, 1), taught)
    other = x.clone()
    other[:, 3:] = 2
    assert torch.equal(p.predicted(other)[0, :, :4], taught[:, :4])
    assert not torch.equal(p.predicted(other)[0, :, 4:], taught[:, 4:])


READERS = pytest.mark.parametrize("reader", [TokenEncoder, TokenTransformer])


@READERS
def test_padding_changes_no_bit_of_a_loss_of_its_gradient_or_of_a_code(reader):
    x = torch.tensor([[2, 3, 3, END], [3, END, PAD, PAD]])
    torch.manual_seed(0)
    encoder = reader(Sizes(vocabulary=VOCABULARY), WIDTH)
    found = []
    for length in (4, 37):
        likelihood, _ = likelihood_of(length=length)
        wide = nn.functional.pad(x, (0, length - 4))
        nats = -likelihood(torch.ones(1, 2, WIDTH)).log_prob(wide)
        nats.sum().backward()
        found.append([nats, likelihood.symbol.weight.grad, encoder(wide)])
    for short, long in zip(*found, strict=True):
        assert torch.equal(short, long)


@READERS
def test_a_batch_is_the_sequences_one_by_one(reader):
    _, p = likelihood_of(length=6)
    torch.manual_seed(1)
    encoder = reader(Sizes(vocabulary=VOCABULARY, context=2), WIDTH, layers=2)
    x = torch.tensor([[2, 3, 3, 2, END, PAD], [3, END, PAD, PAD, PAD, PAD]])
    told = torch.eye(2)
    alone = [encoder(row[None], c[None])[0] for row, c in zip(x, told, strict=True)]
    assert_close(encoder(x, told), torch.stack(alone))
    short = p.each(x)[0, 1, :2].sum()
    assert_close(p.log_prob(x)[0, 1], short)
    assert_close(likelihood_of(length=2)[1].log_prob(x[:, :2])[0, 1], short)


def test_turned_products_depend_on_the_distance_of_their_places_alone():
    torch.manual_seed(0)
    a, b = torch.randn(2, 1, 6).double().expand(2, 9, 6)
    products = turned(a, before=4) @ turned(b, before=4).T
    assert_close(products[1:, 1:], products[:-1, :-1])
    assert_close(turned(a).norm(dim=-1), a.norm(dim=-1))


def test_words_are_hidden_in_training_alone():
    likelihood, p = likelihood_of(length=8, dropout=0.5)
    x = torch.full((2, 8), 2)
    taught = likelihood.logits(x, p.told[0])
    assert not torch.equal(likelihood.logits(x, p.told[0]), taught)
    likelihood.eval()
    assert torch.equal(likelihood.logits(x, p.told[0]), likelihood.logits(x, p.told[0]))
