"""What holds for every likelihood: shapes, precision, and samples of a seed."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models import likelihoods
from aelab.models.networks.pixel_cnn import PixelCNN

EVENT = (3, 4, 2)
OTHERS = {"Likelihood", "Autoregressive", "Columns", "Ordered"}
MODULES = {name: getattr(likelihoods, name) for name in likelihoods.__all__ if name not in OTHERS}
SCALED = ("Gaussian", "Laplace", "LogCosh", "StudentT")
MAKERS = {
    **MODULES,
    **{f"{name} per pixel": lambda f=MODULES[name]: f(per_pixel=True) for name in SCALED},
    "in order": lambda: likelihoods.Ordered(EVENT, likelihoods.Bernoulli(), PixelCNN, width=8, told=3),
}
every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def outputs(likelihood, samples):
    return torch.randn(samples, 5, *likelihood.parameters_of(EVENT))


@every
@pytest.mark.parametrize("samples", [1, 3])
def test_shapes_and_gradients(make, samples):
    likelihood = make()
    params, x = outputs(likelihood, samples).requires_grad_(), torch.randint(2, (5, *EVENT)).float()
    p = likelihood(params)
    assert (p.batch_shape, p.event_shape) == ((samples, 5), EVENT)
    assert p.log_prob(x).shape == (samples, 5)
    assert p.mean.shape == (samples, 5, *EVENT)
    p.log_prob(x).sum().backward()
    assert params.grad.isfinite().all()
    assert (params.grad != 0).any(0).any(0).flatten(1).any(1).all()  # no output is read and ignored


@every
def test_observations_are_scored_independently(make):
    likelihood = make().eval()
    params, x = outputs(likelihood, 3), torch.randint(2, (5, *EVENT)).float()
    whole = likelihood(params).log_prob(x)
    for s, b in ((0, 0), (2, 3)):
        one = likelihood(params[s : s + 1, b : b + 1]).log_prob(x[b : b + 1])
        assert_close(one[0, 0], whole[s, b], rtol=1e-4, atol=1e-4)


@every
def test_densities_stay_in_float32_under_mixed_precision(make):
    likelihood = make().eval()
    decoder = nn.Linear(4, math.prod(likelihood.parameters_of(EVENT)))
    h, x = torch.randn(3, 5, 4), torch.randint(2, (5, *EVENT)).float()
    with torch.autocast("cpu", torch.bfloat16):
        params = decoder(h).unflatten(-1, (-1, 4, 2))
        p = likelihood(params)
        nats, mean = p.log_prob(x), p.mean
    assert params.dtype == torch.bfloat16
    assert nats.dtype == mean.dtype == torch.float32
    # A network that reads earlier places is of the precision of the pass.
    loose = {"rtol": 0.01, "atol": 0.1} if type(p).__name__ == "Ordered" else {}
    assert_close(nats, likelihood(params.float()).log_prob(x), **loose)


@every
def test_samples_follow_from_the_seed(make):
    p = make().eval()(outputs(make(), 2))
    torch.manual_seed(1)
    a = p.sample()
    torch.manual_seed(1)
    assert torch.equal(a, p.sample())
    assert not torch.equal(a, p.sample())
    assert a.shape == (2, 5, *EVENT)
    assert p.log_prob(p.sample((4,))).shape == (4, 2, 5)


@pytest.mark.parametrize("name", ["Categorical", "BetaBinomial"])
def test_likelihoods_of_levels_fit_vectors_too(name):
    likelihood = MODULES[name](levels=4)
    p = likelihood(torch.randn(2, 5, *likelihood.parameters_of((3,))))
    grid = (torch.arange(4) / 3)[:, None, None].expand(4, 5, 3)
    total = torch.stack([p.each(x) for x in grid]).exp().sum(0)
    assert_close(total, torch.ones(2, 5, 3))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("components", [1, 5])
def test_the_logistic_mixture_reads_its_channels_off_the_parameters(channels, components):
    likelihood = likelihoods.DiscretizedLogisticMixture(components, 16)
    params = torch.randn(2, 5, *likelihood.parameters_of((channels, 4, 2)))
    p = likelihood(params)
    assert p.event_shape == (channels, 4, 2)
    assert p.loc.shape == (2, 5, components, channels, 4, 2)


def test_likelihoods_of_levels_refuse_what_they_cannot_do():
    with pytest.raises(ConfigurationError, match="images"):
        likelihoods.DiscretizedLogisticMixture()(torch.randn(2, 5, 15))
    for name in ("Categorical", "BetaBinomial", "DiscretizedLogisticMixture"):
        with pytest.raises(ConfigurationError, match="levels"):
            MODULES[name](levels=1)


@every
def test_the_variance_is_that_of_samples(make):
    torch.manual_seed(3)
    p = make().eval()(0.3 * outputs(make(), 1))
    if type(p).__name__ == "Ordered":  # which has none in closed form
        with pytest.raises(NotImplementedError):
            _ = p.variance
        return
    draws = p.sample((4000,)) if type(p).__name__ != "LogisticMixture" else None
    if draws is None:  # whose own is that of the mixture before its tails are cut off
        assert (p.variance > 0).all()
        return
    assert_close(draws.var(0), p.variance.expand(p.mean.shape), rtol=0.35, atol=1e-3)
    assert_close(draws.var(0).sum(), p.variance.expand(p.mean.shape).sum(), rtol=0.05, atol=0)
