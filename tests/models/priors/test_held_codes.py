"""Priors that are fitted to the codes of a trained model, against closed forms and scikit-learn."""

import math
from functools import partial

import pytest
import torch
from oracles import assert_mean
from sklearn import mixture, neighbors
from torch import distributions as td
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models import priors
from aelab.models.distributions import StandardGaussian
from aelab.models.priors.flow_matching import Carried

MIXTURES = {"diag": priors.GaussianMixture, "full": priors.FullGaussianMixture}
every_mixture = pytest.mark.parametrize("covariance", MIXTURES)


@pytest.fixture
def codes():
    """Two correlated clusters in the plane, far from the origin."""
    torch.manual_seed(0)
    z = torch.randn(600, 2) @ torch.tensor([[1.0, 0.7], [0.0, 0.4]]) + torch.tensor([20.0, -5.0])
    z[:200] += torch.tensor([6.0, 3.0])
    return z


def fitted(prior, z, steps):
    prior.begin(z)
    for _ in range(steps):
        for part in z.split(250):
            prior.gather(part)
        prior.refit()
    return prior(None, None)


@every_mixture
def test_one_component_has_the_moments_of_the_codes(codes, covariance):
    prior = MIXTURES[covariance](Sizes(latent=2), 1)
    p = fitted(prior, codes, 1)
    assert_close(p.mean, codes.mean(0))
    assert_close(p.variance, codes.var(0, correction=0))
    if covariance == "full":
        assert_close(prior.components().covariance_matrix[0], codes.T.cov(correction=0))


def precisions(components, covariance):
    return 1 / components.variance if covariance == "diag" else components.precision_matrix


@pytest.mark.filterwarnings("ignore:Best performing initialization")
@every_mixture
def test_expectation_maximisation_is_scikit_learns(codes, covariance):
    prior = MIXTURES[covariance](Sizes(latent=2), 3)
    prior.begin(codes)
    with torch.no_grad():
        known = mixture.GaussianMixture(
            3, covariance_type=covariance, max_iter=5, tol=0,
            weights_init=prior.logits.double().softmax(-1).numpy(),
            means_init=prior.loc.double().numpy(),
            precisions_init=precisions(prior.components(), covariance).double().numpy(),
        )  # fmt: skip
    known.fit(codes.double().numpy())
    for _ in range(5):
        for part in codes.split(250):
            prior.gather(part)
        prior.refit()
    expected = torch.from_numpy(known.score_samples(codes.double().numpy())).float()
    assert_close(prior(None, None).log_prob(codes), expected, atol=1e-3, rtol=1e-3)


@every_mixture
def test_no_step_lowers_the_likelihood_and_a_component_without_codes_stays(codes, covariance):
    prior = MIXTURES[covariance](Sizes(latent=2), 4)
    prior.begin(codes)
    with torch.no_grad():
        prior.loc[3], prior.logits[3] = 1e4, -20.0
    before, last = prior.loc[3].clone(), -torch.inf
    for _ in range(10):
        prior.gather(codes)
        prior.refit()
        found = prior(None, None).log_prob(codes).mean().item()
        assert found > last - 1e-4
        last = found
    assert prior.loc[3].equal(before)


def test_kernels_are_scikit_learns_and_their_variance_the_best_for_centres_left_out(codes):
    prior = priors.KernelDensity(Sizes(latent=2), 1000)
    p = fitted(prior, codes, 60)
    assert p.centres.equal(codes)
    log_variance = prior.log_variance.detach().clone().requires_grad_()
    scale = (0.5 * log_variance).exp()
    each = td.Normal(codes, scale).log_prob(codes[:, None]).sum(-1)
    each = each.masked_fill(torch.eye(len(codes), dtype=torch.bool), -torch.inf)
    each.logsumexp(-1).mean().backward()
    assert_close(log_variance.grad, torch.zeros(2), atol=1e-3, rtol=0)
    kernels = neighbors.KernelDensity(bandwidth=1.0).fit((codes / scale).detach().numpy())
    expected = torch.from_numpy(kernels.score_samples((codes / scale).detach().numpy()))
    assert_close(p.log_prob(codes).double(), expected - scale.log().sum().double(), atol=1e-4, rtol=1e-4)
    assert_mean(p.sample((20_000,)), codes.mean(0))


DENSITIES = {
    "full mixture": partial(priors.FullGaussianMixture, components=3),
    "kernels": partial(priors.KernelDensity, components=50),
    "flow matching": partial(priors.FlowMatching, widths=[8], steps=10),
}


@pytest.mark.parametrize("make", DENSITIES.values(), ids=DENSITIES)
def test_a_density_integrates_to_one_and_samples_are_of_it(codes, make):
    torch.manual_seed(1)
    prior = make(Sizes(latent=2))
    prior.begin(codes[:50])
    p = prior(None, None)
    loc, scale = codes.mean(0), codes.std(0)
    side = torch.linspace(-6, 6, 193)
    grid = torch.cartesian_prod(side, side) * scale + loc
    mass = p.log_prob(grid).exp() * (0.0625 * scale).prod()
    assert_close(mass.sum(), torch.tensor(1.0), atol=1e-2, rtol=0)
    assert_mean(p.sample((5000,)), mass @ grid / mass.sum())


def linear(slope):
    """A field between N(0, 1) and N(0, s^2), which is linear: z (t s^2 - (1 - t)) / ((1 - t)^2 + t^2 s^2)."""

    def field(z, t, context=None):
        return slope * z * (4 * t - (1 - t)) / ((1 - t) ** 2 + 4 * t**2)

    return field


def test_along_the_linear_field_between_gaussians_the_density_is_known():
    p = Carried(StandardGaussian(torch.zeros(3)), linear(1.0), steps=20)
    z = torch.randn(2, 5, 3)
    assert_close(p.log_prob(z), td.Normal(0.0, 2.0).log_prob(z).sum(-1), atol=1e-4, rtol=1e-4)
    torch.manual_seed(0)
    drawn = p.sample((2,))
    torch.manual_seed(0)
    assert_close(drawn, 2 * torch.randn(2, 3), atol=1e-4, rtol=1e-4)


def test_the_matched_field_between_gaussians_is_the_linear_one():
    torch.manual_seed(0)
    prior, z = priors.FlowMatching(Sizes(latent=1)), 2 * torch.randn(1, 100_000, 1)
    slope = torch.ones((), requires_grad=True)
    costs = {}
    for value in (0.8, 1.0, 1.2):
        torch.manual_seed(1)
        prior.field = linear(value * slope)
        costs[value] = prior.cost(prior(None, None), z, None)
    assert costs[1.0] < min(costs[0.8], costs[1.2])
    costs[1.0].backward()
    assert abs(slope.grad) < 0.02


def test_the_bound_of_a_second_vae_is_its_density_where_inference_is_exact():
    """z = u + e, u and e standard normal: z has variance 2, and u|z is N(z / 2, 1 / 2)."""
    prior = priors.TwoStage(Sizes(latent=1), upper=1, samples=1, widths=[])
    with torch.no_grad():
        for part, slope, variance in ((prior.generation, 1.0, 1.0), (prior.inference, 0.5, 0.5)):
            part.head.projection.weight.copy_(torch.tensor([[slope], [0.0]]))
            part.head.projection.bias.copy_(torch.tensor([0.0, math.log(variance)]))
    z = torch.randn(2, 5, 1)
    p = prior(None, None)
    assert_close(p.log_prob(z), td.Normal(0.0, 2**0.5).log_prob(z).sum(-1))
    assert_mean(p.sample((20_000,)).square(), torch.tensor([2.0]))


@pytest.mark.parametrize("make", [DENSITIES["flow matching"], partial(priors.TwoStage, upper=2, widths=[])])
def test_networks_see_codes_of_mean_0_and_deviation_1(codes, make):
    prior = make(Sizes(latent=2))
    raw = prior(None, None).standard
    prior.begin(codes)
    p, z = prior(None, None), codes[:20]
    torch.manual_seed(0)
    within = raw.log_prob((z - codes.mean(0)) / codes.std(0, correction=0))
    torch.manual_seed(0)
    assert_close(p.log_prob(z), within - codes.std(0, correction=0).log().sum())


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (partial(priors.KernelDensity, components=1), "components"),
        (partial(priors.TwoStage, upper=0), "upper"),
        (partial(priors.FlowMatching, steps=0), "steps"),
        (partial(priors.FullGaussianMixture, components=0), "components"),
    ],
)
def test_what_makes_no_prior_is_refused(make, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        make(Sizes(latent=2))
