import itertools
import math

import numpy as np
import pytest
import torch
from oracles import assert_mean
from scipy import stats
from torch import distributions as td
from torch.testing import assert_close

from aelab.models.distributions import BetaBinomial, Levels, LogisticMixture

COUNT = 20_000
GREY = torch.linspace(0, 1, 256, dtype=torch.float64)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_levels_are_torchs_categories():
    logits = torch.randn(2, 4, 16, 3, 2)
    p = Levels(logits, 2)
    theirs = td.Independent(td.Categorical(logits=logits.movedim(2, -1)), 2)
    level = torch.randint(16, (4, 3, 2))
    assert (p.batch_shape, p.event_shape) == ((2, 4), (3, 2))
    assert_close(p.log_prob(level / 15), theirs.log_prob(level.expand(2, 4, 3, 2)))
    assert p.support.is_discrete
    samples = p.sample((COUNT,))
    assert_close(samples * 15, (samples * 15).round(), atol=1e-5, rtol=0)
    assert_mean(samples, p.mean)
    assert_close(p.log_prob(samples[:5]), theirs.log_prob((samples[:5] * 15).round()))


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_every_8_bit_level_is_recognised_and_all_sum_to_one(levels):
    p = Levels(5 * torch.randn(levels, 1), 1)
    grid = (torch.arange(levels).to(torch.uint8).float() / (levels - 1))[:, None]
    assert_close(p.log_prob(grid), p.logits[0])
    assert p.log_prob(grid).exp().sum().item() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("log_beta", [-10.0, -2.0, 0.0, 4.0, 10.0])
@pytest.mark.parametrize("log_alpha", [-10.0, 0.0, 3.0, 10.0])
def test_the_beta_binomial_is_scipys(log_alpha, log_beta):
    p = BetaBinomial(torch.full((256, 1), log_alpha), torch.full((256, 1), log_beta), 256)
    theirs = stats.betabinom(255, math.exp(log_alpha), math.exp(log_beta))
    nats = p.log_prob(GREY.float()[:, None])
    assert nats.dtype == torch.float32
    assert_close(nats.double(), torch.from_numpy(theirs.logpmf(np.arange(256))), atol=1e-4, rtol=1e-4)
    assert nats.double().exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert_close(p.mean[0, 0].item(), theirs.mean() / 255, rtol=1e-4, atol=1e-6)
    samples = p.sample((200,)).flatten()
    assert samples.isfinite().all()
    assert samples.mean().item() == pytest.approx(
        theirs.mean() / 255, abs=5 * theirs.std() / 255 / samples.numel() ** 0.5 + 1e-4
    )
    assert samples.var().item() == pytest.approx(theirs.var() / 255**2, rel=0.1, abs=1e-4)


def test_the_beta_binomial_of_two_ones_is_uniform_and_its_gradient_that_of_double_precision():
    p = BetaBinomial(torch.zeros(3), torch.zeros(3), 16)
    assert_close(p.log_prob(torch.tensor([0.0, 0.4, 1.0])), torch.tensor(-3 * math.log(16)))
    single = torch.randn(2, 50, requires_grad=True)
    double = single.detach().double().requires_grad_()
    x = torch.randint(256, (50,)) / 255
    for parameters in (single, double):
        BetaBinomial(*parameters, 256).log_prob(x).backward()
    assert_close(single.grad, double.grad.float(), atol=1e-4, rtol=1e-4)


def sigmoid(x):
    return np.longdouble(1) / (1 + np.exp(-np.longdouble(x)))


def naive_mixture(p, pixel):
    """The probability of one pixel (C,), by differences of cumulative functions in extended precision."""
    total = np.longdouble(0)
    weights = p.logits.exp()[:, 0, 0].double().numpy()
    x = [2 * v - 1 for v in pixel]
    half = 1 / (p.levels - 1)
    for k, weight in enumerate(weights):
        product = np.longdouble(weight)
        for c, v in enumerate(x):
            pairs = [(a, b) for a in range(len(x)) for b in range(a)]  # in the order of the coefficients
            shift = sum(p.coefficients[k, pairs.index((c, b)), 0, 0].item() * x[b] for b in range(c))
            centre, scale = p.loc[k, c, 0, 0].item() + shift, math.exp(p.log_scale[k, c, 0, 0].item())
            low = 0 if v < -1 + half else sigmoid((v - half - centre) / scale)
            high = 1 if v > 1 - half else sigmoid((v + half - centre) / scale)
            product *= high - low
        total += product
    return float(total)


def mixture(channels, levels, components=2, spread=0.5, log_scale=-1.0, dtype=torch.float64):
    shape = (components, channels, 1, 1)
    return LogisticMixture(
        torch.randn(components, 1, 1, dtype=dtype),
        spread * torch.randn(shape, dtype=dtype),
        log_scale + 0.3 * torch.randn(shape, dtype=dtype),
        2 * torch.randn(components, channels * (channels - 1) // 2, 1, 1, dtype=dtype),
        levels,
    )


def combinations(channels, levels):
    grid = [i / (levels - 1) for i in range(levels)]
    return torch.tensor(list(itertools.product(grid, repeat=channels)), dtype=torch.float64)


@pytest.mark.parametrize("spread", [0.5, 3.0])
@pytest.mark.parametrize(("channels", "levels"), [(1, 256), (1, 2), (2, 4), (3, 4), (3, 5), (4, 3)])
def test_the_logistic_mixture_sums_to_one_and_is_the_naive_difference(channels, levels, spread):
    p = mixture(channels, levels, spread=spread)
    pixels = combinations(channels, levels)
    nats = p.log_prob(pixels[..., None, None])
    assert nats.exp().sum().item() == pytest.approx(1, abs=1e-9)
    for i in range(0, len(pixels), 7):
        assert nats[i].exp().item() == pytest.approx(naive_mixture(p, pixels[i].tolist()), rel=1e-8)


@pytest.mark.parametrize("log_scale", [-30.0, -7.0, 0.0, 15.0, 200.0])
@pytest.mark.parametrize("loc", [-1e4, -1.0, 0.3, 1.0, 50.0])
def test_extreme_logistics_sum_to_one_with_finite_gradients(loc, log_scale):
    parameters = [torch.full((1, 1, 1, 1), v, requires_grad=True) for v in (loc, log_scale)]
    p = LogisticMixture(torch.zeros(1, 1, 1), *parameters, torch.zeros(1, 0, 1, 1), 256)
    nats = p.log_prob(GREY.float()[:, None, None, None])
    assert nats.isfinite().all()
    assert nats.double().exp().sum().item() == pytest.approx(1, abs=1e-4)
    assert all(g.isfinite().all() for g in torch.autograd.grad(nats.sum(), parameters))


@pytest.mark.parametrize(("channels", "levels"), [(1, 2), (1, 5), (2, 3), (3, 3)])
def test_logistic_mixture_samples_have_their_probabilities(channels, levels):
    p = mixture(channels, levels, dtype=torch.float32)
    samples = p.sample((40_000,))[..., 0, 0]
    index = ((samples * (levels - 1)).round() * levels ** torch.arange(channels).flip(0)).sum(-1).long()
    assert_close(samples * (levels - 1), (samples * (levels - 1)).round(), atol=1e-5, rtol=0)
    expected = p.log_prob(combinations(channels, levels).float()[..., None, None]).exp().numpy()
    observed = np.bincount(index, minlength=levels**channels)
    often = expected * len(samples) > 5
    rest = [observed[~often].sum()], [expected[~often].sum() * len(samples)]
    pairs = zip((observed[often], expected[often] * len(samples)), rest, strict=True)
    observed, expected = (np.concatenate(pair) for pair in pairs)
    keep = expected > 1
    statistic = ((observed[keep] - expected[keep]) ** 2 / expected[keep]).sum()
    assert stats.chi2(keep.sum() - 1).sf(statistic) > 1e-3


def test_the_mean_of_a_narrow_logistic_mixture_is_that_of_its_samples():
    p = LogisticMixture(
        torch.tensor([0.3, -0.4])[:, None, None].expand(2, 2, 2),
        torch.tensor([[-0.3, 0.1, 0.0], [0.2, 0.3, -0.2]])[..., None, None].expand(2, 3, 2, 2),
        torch.full((2, 3, 2, 2), -4.0),
        torch.tensor([[0.3, -0.5, 0.4], [-0.2, 0.1, 0.6]])[..., None, None].expand(2, 3, 2, 2),
        256,
    )
    samples = p.sample((COUNT,))
    assert (p.event_shape, p.batch_shape, samples.shape) == ((3, 2, 2), (), (COUNT, 3, 2, 2))
    assert_mean(samples, p.mean)


def test_places_of_an_image_and_its_batch_are_independent_of_one_another():
    parameters = [torch.randn(2, 4, 3, *rest, 2, 5) for rest in ((), (3,), (3,), (3,))]
    x = torch.randint(256, (4, 3, 2, 5)) / 255
    whole = LogisticMixture(*parameters, 256)
    assert (whole.batch_shape, whole.event_shape, whole.sample().shape) == (
        (2, 4),
        (3, 2, 5),
        (2, 4, 3, 2, 5),
    )
    assert_close(whole.log_prob(x), whole.each(x).sum((-1, -2, -3)))
    s, b, i, j = 1, 2, 1, 3
    one = LogisticMixture(*(v[s, b, ..., i : i + 1, j : j + 1] for v in parameters), 256)
    assert_close(whole.each(x)[s, b, 0, i, j], one.log_prob(x[b, :, i : i + 1, j : j + 1]))
