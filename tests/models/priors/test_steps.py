"""A prior of steps against an autoregression whose covariance is known."""

import torch
from oracles import assert_mean
from torch.distributions import MultivariateNormal
from torch.testing import assert_close

from aelab.core.records import Sizes
from aelab.models.distributions import Gaussian, Steps
from aelab.models.networks.causal import Recurrent
from aelab.models.priors import GaussianSteps

RHO, STEPS = 0.8, 4


def autoregression(steps, context):
    """N(rho z_{t-1}, 1 - rho^2), of which every step has variance 1; both numbers of a step alike."""
    loc = RHO * torch.nn.functional.pad(steps[:, :-1], (0, 0, 1, 0))
    log_variance = torch.full((STEPS, 1), 1 - RHO**2).log().index_fill(0, torch.tensor(0), 0.0)
    return Gaussian(loc, log_variance, 2)


def test_an_autoregression_has_the_density_and_the_samples_of_its_covariance():
    torch.manual_seed(0)
    p = Steps(autoregression, STEPS, 2, torch.zeros(()))
    place = torch.arange(STEPS)
    covariance = torch.block_diag(*[RHO ** (place[:, None] - place).abs().float()] * 2)
    known = MultivariateNormal(torch.zeros(2 * STEPS), covariance)
    z = torch.randn(3, 5, 2 * STEPS)
    assert_close(p.log_prob(z), known.log_prob(z))
    drawn = p.rsample((4000,))
    assert_mean(drawn[:, :, None] * drawn[:, None], covariance)


def test_the_moments_of_a_step_read_earlier_steps_alone():
    torch.manual_seed(0)
    prior = GaussianSteps(Sizes(layout=(3, 1, 5), latent=15, context=2), Recurrent, width=6)
    torch.nn.init.normal_(prior.output.weight)
    steps = torch.randn(1, 5, 3, requires_grad=True)
    for place in range(5):
        p = prior.moments(steps, torch.ones(1, 2))
        (gradient,) = torch.autograd.grad(p.loc[:, place].sum() + p.log_variance[:, place].sum(), steps)
        read = gradient.abs().amax((0, 2)) > 0
        assert read.tolist() == [earlier < place for earlier in range(5)]


def test_it_begins_as_the_standard_normal():
    prior = GaussianSteps(Sizes(latent=6), Recurrent)
    z = torch.randn(4, 6)
    assert_close(prior(None, None).log_prob(z), MultivariateNormal(torch.zeros(6), torch.eye(6)).log_prob(z))
