"""Codebooks against what they are: k-means, means of what entries stand for, bijections, gradients."""

from functools import partial
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch.distributions import kl_divergence
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import Quantised
from aelab.models.posteriors import (
    AveragedCodebook,
    Codebook,
    FiniteScalar,
    LookupFree,
    TwoLevels,
    VectorQuantiser,
    rotated,
    straight_through,
)
from aelab.models.posteriors import Quantised as Posterior
from aelab.models.priors import UniformCodebook

SIZES = Sizes(latent=4)
QUANTISERS = {
    "vector": partial(VectorQuantiser, codes=7),
    "averages": partial(VectorQuantiser, codes=7, book=AveragedCodebook),
    "residual": partial(VectorQuantiser, codes=5, depth=3),
    "product": partial(VectorQuantiser, codes=5, groups=2),
    "both": partial(VectorQuantiser, codes=5, groups=2, depth=2),
    "finite": partial(FiniteScalar, levels=3),
    "signs": LookupFree,
}
MAKERS = {
    f"{name} {place} {'two levels' if two else ''}": partial(
        TwoLevels if two else Posterior, features, SIZES, quantiser=quantiser
    )
    for (name, quantiser), (place, features), two in product(
        QUANTISERS.items(), {"vector": 6, "map": (6, 3, 5)}.items(), [False, True]
    )
    if not (two and name in ("residual", "both"))
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def passed(make, count=9):
    posterior = make()
    features = posterior.layout and ((6,) if len(posterior.layout) == 1 else (6, *posterior.layout[1:]))
    return posterior, posterior(torch.randn(count, *features))


@every
def test_a_code_is_its_symbols_and_symbols_are_their_code(make):
    posterior, q = passed(make)
    assert q.symbols.shape == (9, torch.Size(posterior.symbols).numel())
    assert q.value.shape == (9, posterior.latent)
    assert posterior.symbols_of(q.value).equal(q.symbols)
    assert posterior.code_of(q.symbols).equal(q.value)
    drawn = torch.randint(posterior.codes, (2, 9, q.symbols.shape[1]))
    again = posterior.symbols_of(posterior.code_of(drawn))
    assert again.equal(drawn)


@every
def test_it_has_probability_one_and_its_rate_is_the_length_of_its_symbols(make):
    posterior, q = passed(make)
    assert q.log_prob(q.rsample((2,))).equal(torch.zeros(2, 9))
    assert q.log_prob(q.value + 1).exp().equal(torch.zeros(9))
    sizes = Sizes(latent=posterior.latent, codes=posterior.codes, symbols=posterior.symbols)
    p = UniformCodebook(sizes)(None, model=type("Model", (), {"posterior": posterior}))
    nats = torch.full((9,), q.symbols.shape[1] * np.log(q.codes), dtype=torch.float32)
    assert_close(kl_divergence(q, p), nats)
    assert_close(p.log_prob(q.rsample((2,))), -nats.expand(2, 9))
    drawn = p.sample((3,))
    assert drawn.shape == (3, posterior.latent)
    assert posterior.code_of(posterior.symbols_of(drawn)).equal(drawn)


@every
def test_activity_counts_each_symbol_once(make):
    posterior, q = passed(make)
    assert q.activity().shape == (9, posterior.units)
    assert q.activity().sum(1).equal(torch.full((9,), float(q.symbols.shape[1])))


def test_a_residual_code_is_nearer_with_each_level():
    vectors = torch.randn(50, 4)
    quantiser = VectorQuantiser(4, codes=16, depth=4)
    for table in quantiser.tables:
        table.entries.data.normal_(std=0.5)[0] = 0  # where 0 is an entry the error cannot grow
    levels = quantiser(vectors).levels
    errors = [(vectors - torch.stack(levels[: i + 1]).sum(0)).square().sum(1) for i in range(4)]
    assert all((after <= before + 1e-6).all() for before, after in pairwise(errors))


@pytest.mark.parametrize("gradient", [straight_through, rotated])
def test_gradients_reach_the_features(gradient):
    source = torch.randn(5, 3, requires_grad=True)
    entries = torch.randn(5, 3, requires_grad=True)
    value, way = gradient(source, entries), torch.randn(5, 3)
    assert value.equal(entries)
    (value * way).sum().backward()
    assert entries.grad is None
    if gradient is straight_through:
        assert source.grad.equal(way)
    # A rotation and a scale: lengths grow alike, and where both are one it is the identity.
    scale = entries.norm(dim=1) / source.norm(dim=1)
    if gradient is rotated:
        assert_close(source.grad.norm(dim=1), scale.detach() * way.norm(dim=1))
        same = source.detach().requires_grad_()
        (rotated(same, same.detach()) * way).sum().backward()
        assert_close(same.grad, way)
        moved = torch.func.jvp(lambda e: rotated(e, entries), (source.detach(),), (source.detach(),))[1]
        assert_close(moved, entries.detach())  # what carries the gradient back carries e onto q


def lloyd(book, vectors, decay):
    book.follow(vectors, book(vectors), decay)


def test_without_memory_a_batch_is_one_step_of_k_means():
    vectors, book = torch.randn(200, 3), AveragedCodebook(6, 3)
    book.start.copy_(vectors[:6])
    means = KMeans(6, init=vectors[:6].numpy(), n_init=1, max_iter=1, algorithm="lloyd").fit(vectors.numpy())
    labels = book(vectors)
    expected = torch.stack([vectors[labels == k].mean(0) for k in range(6)])
    lloyd(book, vectors, decay=0.0)
    assert_close(book.table, expected)
    again = KMeans(6, init=expected.numpy(), n_init=1, max_iter=1, algorithm="lloyd").fit(vectors.numpy())
    lloyd(book, vectors, decay=0.0)
    nearest = torch.cdist(vectors, expected).argmin(1)
    second = torch.stack([vectors[nearest == k].mean(0) for k in range(6)])
    assert_close(book.table, second)
    assert again.inertia_ <= means.inertia_


def test_averages_tend_to_the_means_without_a_bias_from_the_first_step():
    centres = torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    book = AveragedCodebook(3, 2)
    book.start.copy_(torch.tensor([[0.1, 0.0], [4.0, 5.0], [99.0, 99.0]]))
    symbols = torch.tensor([0, 1]).repeat(50)
    for step in range(30):
        book.follow(centres[symbols], symbols, 0.99)
        assert_close(book.table[:2], centres, msg=f"step {step}")
    assert book.table[2].equal(book.start[2])  # what stands for nothing stays
    assert_close(book.weight, torch.tensor([0.5, 0.5, 0.0]) * (1 - 0.99**30))


@pytest.mark.parametrize("make", [Codebook, AveragedCodebook])
def test_dead_entries_begin_anew_and_the_others_stay(make):
    book, vectors = make(4, 2), torch.randn(4, 2)
    before = book.table.clone()
    book.share.copy_(torch.tensor([0.5, 0.0, 0.4, 0.01]))
    book.restart(vectors, least=0.1)
    assert book.table[[0, 2]].equal(before[[0, 2]])
    assert_close(book.table[[1, 3]], vectors[[1, 3]])
    assert book.share.tolist() == pytest.approx([0.5, 0.25, 0.4, 0.25])


def test_finite_levels_are_a_bijection():
    quantiser = FiniteScalar(3, levels=[4, 3, 5])
    symbols = torch.arange(60)[:, None]
    (codes,) = quantiser.entries(symbols)
    assert len(codes.unique(dim=0)) == quantiser.codes == 60
    assert quantiser.symbols([codes]).equal(symbols)
    far = quantiser(torch.tensor([[-50.0, -50, -50], [50, 50, 50]]))
    assert far.symbols[:, 0].tolist() == [0, 59]


@pytest.mark.parametrize(
    ("quantiser", "options", "sentence"),
    [
        (VectorQuantiser, {"codes": 0}, "from 2 to"),
        (VectorQuantiser, {"codes": 1}, "from 2 to"),
        (VectorQuantiser, {"groups": 3}, "groups that divide"),
        (VectorQuantiser, {"depth": 0}, "at least 1"),
        (FiniteScalar, {"levels": [5, 5, 5]}, "a vector has 2"),
        (FiniteScalar, {"levels": 1}, "2 or more"),
        (FiniteScalar, {"levels": 1000}, "at most 65,536"),
    ],
)
def test_what_makes_no_codebook_is_refused(quantiser, options, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        Posterior(6, SIZES, quantiser=partial(quantiser, **options))


def test_parts_that_do_not_make_up_the_code_are_refused():
    with pytest.raises(ConfigurationError, match="choose a divisor"):
        Posterior(6, SIZES, quantiser=LookupFree, size=3)
    with pytest.raises(ConfigurationError, match="at most 65,536"):
        Posterior((6, 2, 2), Sizes(latent=20), quantiser=LookupFree)


def test_codes_are_chosen_alike_in_half_precision():
    posterior = Posterior(6, SIZES, quantiser=partial(VectorQuantiser, codes=64))
    features = torch.randn(50, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = posterior.places(features)
    assert isinstance(found, Quantised)
    assert found.symbols.equal(posterior.places(features).symbols)
