"""Likelihoods of places in order: causal, normalised, and walked to what they are teacher forced to."""

from functools import partial
from itertools import product

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.distributions import Masked
from aelab.models.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogisticMixture,
    Gaussian,
    Laplace,
    OptimalGaussian,
    Ordered,
)
from aelab.models.networks.causal import Dilated
from aelab.models.networks.pixel_cnn import PixelCNN

IMAGES = partial(PixelCNN, layers=2, kernel=3)
WAVES = partial(Dilated, layers=3, kernel=2)
MIXTURE = partial(DiscretizedLogisticMixture, 2, 3)
CASES = {
    "binary": ((1, 2, 3), Bernoulli, IMAGES, 2, {}),
    "grey": ((1, 2, 2), partial(Categorical, 3), IMAGES, 3, {}),
    "colour": ((2, 2, 1), MIXTURE, IMAGES, 3, {}),
    "wave": ((1, 4), MIXTURE, WAVES, 3, {"bounds": (-1, 1), "levels": 3}),
}
every = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def likelihood_of(case, width=8):
    torch.manual_seed(0)
    shape, of, network, levels, more = case
    found = Ordered(shape, of(), network, width=width, told=2, **more).eval()
    low, high = more.get("bounds", (0, 1))
    return found, torch.linspace(low, high, levels)


def told_of(case, samples, count, **options):
    return 2 * torch.randn(samples, count, 2, *case[0][1:], **options)


@every
def test_a_place_reads_those_before_it_and_what_it_is_told(case):
    likelihood, _ = likelihood_of(case)
    likelihood.levels = None  # rounding has no gradient
    x = torch.rand(1, *case[0], requires_grad=True)
    told = told_of(case, 1, 1).requires_grad_()
    spaces = x.flatten(2).shape[2]
    each = likelihood(told).each(x)[0, 0].flatten(1).sum(0)
    reads, hears = torch.zeros(spaces, spaces), torch.zeros(spaces, spaces)
    for place in range(spaces):
        slopes = torch.autograd.grad(each[place], (x, told), retain_graph=True)
        reads[place] = (slopes[0].flatten(2)[0].abs().sum(0) > 0).float()
        hears[place] = (slopes[1].flatten(3)[0, 0].abs().sum(0) > 0).float()
    assert not reads.triu(1).any()
    assert not hears.triu(1).any()
    assert hears.diagonal().all()
    assert (reads.tril(-1).sum(1)[1:] >= 1).all()


@every
@torch.no_grad()
def test_its_probabilities_sum_to_one_and_are_those_of_its_samples(case):
    likelihood, levels = likelihood_of(case)
    told, size = told_of(case, 1, 1), torch.Size(case[0]).numel()
    every_x = torch.tensor(list(product(levels.tolist(), repeat=size))).view(-1, *case[0])
    probability = torch.cat(
        [
            likelihood(told.expand(1, len(part), *told.shape[2:])).log_prob(part)[0]
            for part in every_x.split(100)
        ]
    ).exp()
    assert_close(probability.sum(), torch.tensor(1.0))
    assert probability.max() > 2 * probability.min()
    count = 8000
    drawn = likelihood(told).sample((count,))[:, 0, 0]
    found = torch.cat(
        [(drawn[:, None] - part).abs().flatten(2).amax(2).lt(1e-3).sum(0) for part in every_x.split(100)]
    )
    assert found.sum() == count
    error = (probability * (1 - probability) / count).sqrt()
    assert ((found / count - probability).abs() < 5 * error + 1e-3).all()


@every
@torch.no_grad()
def test_step_by_step_it_is_as_all_at_once(case):
    channels, *sides = case[0]
    likelihood, _ = likelihood_of(((channels, *(3 * side for side in sides)), *case[1:]))
    low = likelihood.low
    told = 2 * torch.randn(1, 6, *likelihood.parameters_of(likelihood.shape))
    x, steps = likelihood(told).sample(), []
    flat = x[0].flatten(2)

    def scored(p):
        value = (flat[..., len(steps)] - low) / likelihood.span
        steps.append(p.log_prob(value[..., None, None])[0])
        return p.mean

    likelihood.walk(told[0].flatten(2), scored, lambda values, place: flat[..., place])
    assert_close(sum(steps), likelihood(told).log_prob(x)[0])


@torch.no_grad()
def test_each_mean_is_the_mean_given_the_means_before_it():
    likelihood, _ = likelihood_of(CASES["binary"])
    told = told_of(CASES["binary"], 2, 3)
    p = likelihood(told)
    assert p.mean.shape == (2, 3, 1, 2, 3)
    # Of a coin log p(1) - log p(0) is its logit.
    mean = p.mean.flatten(2)
    for place in range(6):
        ones, zeros = (
            torch.cat([mean[..., :place], torch.full_like(mean[..., place:], value)], -1)
            for value in (1.0, 0.0)
        )
        logit = [p.each(v.view(2, 3, 1, 2, 3)).flatten(2)[..., place] for v in (ones, zeros)]
        assert_close((logit[0] - logit[1]).sigmoid(), mean[..., place])


def test_a_mean_that_was_read_before_is_that_of_who_asks():
    """Of the same walk, once with its graph for an objective, and of another where some values are known."""
    likelihood, _ = likelihood_of(CASES["binary"])
    p = likelihood(told_of(CASES["binary"], 1, 2, requires_grad=True))
    with torch.no_grad():
        plain = p.mean
        assert p.mean is plain
    assert p.mean.requires_grad
    assert_close(p.mean, plain)
    known = torch.ones(2, 1, 2, 3)
    assert torch.equal(p.among(torch.zeros(1, 2, 3), known).mean[0], known)


@torch.no_grad()
def test_among_known_pixels_a_walk_reads_them():
    likelihood, _ = likelihood_of(CASES["binary"])
    p = likelihood(told_of(CASES["binary"], 1, 2))
    hidden = torch.tensor([[[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]]])
    known = torch.bernoulli(torch.full((2, 1, 2, 3), 0.5))
    masked = Masked(p, hidden, known)
    shown = hidden.expand(2, 1, 2, 3) == 0
    for x in (masked.sample()[0], masked.mean[0]):
        assert torch.equal(x[shown], known[shown])
    first = known.clone()
    first[:, 0, 0, 1] = 1  # the first hidden pixel, after one that is known
    zero = first.clone()
    zero[:, 0, 0, 1] = 0
    logit = p.each(first)[0, :, 0, 0, 1] - p.each(zero)[0, :, 0, 0, 1]
    assert_close(masked.mean[0, :, 0, 0, 1], logit.sigmoid())
    assert not torch.allclose(p.mean[0, :, 0, 0, 1], logit.sigmoid(), rtol=1e-4)


@torch.no_grad()
def test_a_density_is_of_the_values_themselves():
    torch.manual_seed(0)
    likelihood = Ordered((1, 3), Gaussian(scale=0.1), WAVES, width=4, told=2, bounds=(-1, 1))
    grid = torch.linspace(-3, 3, 121)
    x = torch.zeros(121, 1, 3)
    x[:, 0, 0] = grid
    density = likelihood(torch.randn(1, 1, 2, 3).expand(1, 121, 2, 3)).each(x)[0, :, 0, 0].exp()
    assert_close((density * (grid[1] - grid[0])).sum(), torch.tensor(1.0), rtol=1e-3, atol=0)


def test_a_wave_is_scored_where_it_is_rounded_to():
    likelihood, levels = likelihood_of(CASES["wave"])
    p = likelihood(told_of(CASES["wave"], 1, 5))
    x = levels[torch.randint(3, (5, 1, 4))]
    assert torch.equal(p.log_prob(x + 0.2 * (0 - x) + 0.1), p.log_prob(x))
    assert p.support.is_discrete
    assert bool(p.support.check(torch.tensor([-1.0, 1.0])).all())


@pytest.mark.parametrize(
    ("shape", "options", "why"),
    [((3,), {}, "likelihood=gaussian"), ((1, 4), {"told": 0}, "told=0"), ((1, 4), {"levels": 1}, "levels=1")],
)
def test_what_has_no_places_is_refused(shape, options, why):
    with pytest.raises(ConfigurationError, match=why):
        Ordered(shape, Bernoulli(), WAVES, **options)


@pytest.mark.parametrize(
    ("grid", "kernel", "why"), [((8, 8), 4, "an odd number"), ((8,), 5, "maps of rows and columns")]
)
def test_each_fault_of_a_pixel_cnn_has_its_own_advice(grid, kernel, why):
    with pytest.raises(ConfigurationError, match=why):
        PixelCNN(4, grid, kernel=kernel)


def test_real_values_are_scored_and_drawn_in_their_own_units():
    torch.manual_seed(0)
    for of in (Gaussian(bounds=(2, 4)), Laplace(bounds=(2, 4))):
        likelihood = Ordered((1, 3), of, WAVES, width=4, told=2, bounds=(2, 4))
        p = likelihood(torch.randn(1, 2, 2, 3))
        assert bool(((p.mean > 2) & (p.mean < 4)).all())
        nn.init.zeros_(likelihood.output.weight)
        nn.init.zeros_(likelihood.output.bias)
        x = 3 + torch.rand(2, 1, 3)
        assert_close(p.each(x)[0], of(torch.zeros(1, 2, 1, 3)).each(x)[0])


def test_samples_lie_in_the_support():
    likelihood, _ = likelihood_of(CASES["wave"])
    p = likelihood(told_of(CASES["wave"], 1, 9))
    x = p.sample()
    assert bool(((x > -1) & (x < 1)).any())
    assert bool(p.support.check(x).all())


@pytest.mark.parametrize("known", [False, True])
def test_one_scale_is_that_of_the_hidden_values_and_a_sample_has_no_graph(known):
    torch.manual_seed(0)
    likelihood = Ordered((2, 3), OptimalGaussian(1.0), WAVES, width=4, told=2).train()
    assert likelihood.pooled
    x, hidden = torch.rand(5, 2, 3), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    p = likelihood(torch.randn(1, 5, 2, 3))
    q = Masked(p, hidden, x) if known else p
    q.log_prob(x)
    with torch.no_grad():
        # Where all is known a walk finds the true ones, and its choices are of the means given them.
        means = []
        likelihood.walk(
            p.told[0], lambda of: means.append(of.mean) or of.mean, lambda _, place: x[..., place]
        )
        error = ((x - torch.cat(means, -1)[0, :, :, 0]).square() * (hidden if known else 1)).sum()
    count = 5 * (hidden.sum() if known else hidden.numel())
    assert_close(likelihood.of.log_variance, (error / count).log())
    assert not q.sample().requires_grad
