"""A prior of steps against an autoregression whose covariance is known."""

import torch
from oracles import assert_mean
from torch.distributions import MultivariateNormal, Normal, kl_divergence
from torch.testing import assert_close

from aelab.core.records import Sizes
from aelab.models import posteriors
from aelab.models.distributions import Gaussian, Steps, divergence
from aelab.models.networks.causal import Recurrent
from aelab.models.priors import GaussianSteps

RHO, STEPS = 0.8, 4


class Autoregression:
    """N(rho z_{t-1}, 1 - rho^2), of which every step has variance 1; both numbers of a step alike."""

    def __call__(self, before, told):
        log_variance = torch.full((STEPS, 1), 1 - RHO**2).log().index_fill(0, torch.tensor(0), 0.0)
        return Gaussian(RHO * before, log_variance, 2)

    def step(self, before, told, state):
        log_variance = torch.tensor(1 - RHO**2 if state else 1.0).log()
        return Gaussian(RHO * before, log_variance, 2), True


def test_an_autoregression_has_the_density_and_the_samples_of_its_covariance():
    torch.manual_seed(0)
    p = Steps(Autoregression(), STEPS, 2, torch.zeros(()))
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
    torch.nn.init.normal_(prior.moments.output.weight)
    z = torch.randn(1, 15, requires_grad=True)
    for place in range(5):
        p = prior(torch.ones(1, 2), None).along(z)
        (gradient,) = torch.autograd.grad(p.loc[:, place].sum() + p.log_variance[:, place].sum(), z)
        read = gradient.view(3, 5).abs().amax(0) > 0
        assert read.tolist() == [earlier < place for earlier in range(5)]


def bent(make, **options):
    """Steps whose moments have arbitrary weights, and depend on steps before and on what they are told."""
    torch.manual_seed(0)
    found = make(**options)
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, 0, 0.5)
    return found


def test_a_walk_is_as_all_steps_at_once():
    prior = bent(
        GaussianSteps, sizes=Sizes(layout=(3, 1, 5), latent=15, context=2), network=Recurrent, width=6
    )
    p = prior(torch.randn(4, 2), None)
    torch.manual_seed(1)
    z = p.rsample((2,))
    torch.manual_seed(1)
    noise = torch.randn(2, 4, 5, 3)
    along, steps = p.along(z), z.view(2, 4, 3, 5).transpose(-1, -2)
    assert_close(steps, along.loc + noise * (0.5 * along.log_variance).exp())
    assert_close(p.along(p.mean).loc, p.mean.view(4, 3, 5).transpose(-1, -2))


def test_the_rate_is_that_of_its_steps_and_the_mean_of_log_ratios():
    sizes = Sizes(layout=(2, 1, 3), latent=6, context=2)
    p = bent(GaussianSteps, sizes=sizes, network=Recurrent, width=4)(torch.randn(1, 2), None)
    q = bent(posteriors.GaussianSteps, features=(4, 1, 3), sizes=Sizes(latent=2), network=Recurrent, width=4)
    for posterior in (q(torch.randn(1, 4, 1, 3)), Gaussian(torch.randn(1, 6), torch.randn(1, 6))):
        z = posterior.rsample((20_000,))
        assert_mean((posterior.log_prob(z) - p.log_prob(z))[:, 0] - p.rate(posterior, z), 0.0)
        if isinstance(posterior, Steps):
            along, given = posterior.along(z), p.along(z)
            each = kl_divergence(
                Normal(along.loc, (0.5 * along.log_variance).exp()),
                Normal(given.loc, (0.5 * given.log_variance).exp()),
            )
            assert_close(each.sum((-1, -2)).mean(0), p.rate(posterior, z))
        assert_close(divergence(posterior, p, z), p.rate(posterior, z))


def test_a_posterior_of_steps_begins_as_one_of_the_features_alone():
    torch.manual_seed(0)
    posterior = posteriors.GaussianSteps((4, 1, 3), Sizes(latent=2), Recurrent)
    alone = posteriors.DiagonalGaussian((4, 1, 3), Sizes(latent=2))
    with torch.no_grad():
        alone.projection.weight.copy_(posterior.moments.direct.weight[..., None, None])
        alone.projection.bias.copy_(posterior.moments.direct.bias)
    h, z = torch.randn(5, 4, 1, 3), torch.randn(2, 5, 6)
    assert_close(posterior(h).log_prob(z), alone(h).log_prob(z))
    assert_close(posterior(h).mean, alone(h).mean)


def test_it_begins_as_the_standard_normal():
    prior = GaussianSteps(Sizes(latent=6), Recurrent)
    z = torch.randn(4, 6)
    assert_close(prior(None, None).log_prob(z), MultivariateNormal(torch.zeros(6), torch.eye(6)).log_prob(z))


def test_mixed_precision_scores_later_by_the_moments_that_it_drew_by():
    q = bent(posteriors.GaussianSteps, features=(4, 1, 3), sizes=Sizes(latent=2), network=Recurrent, width=4)
    p = bent(GaussianSteps, sizes=Sizes(layout=(2, 1, 3), latent=6, context=2), network=Recurrent, width=4)
    with torch.autocast("cpu", torch.bfloat16):
        h, context = torch.randn(5, 4, 1, 3).bfloat16(), torch.randn(5, 2)
        posterior, prior = q(h), p(context, None)
        z = posterior.rsample((2,))
        now = posterior.along(z).loc, prior.along(z).loc
    assert torch.equal(posterior.along(z).loc, now[0])
    assert torch.equal(prior.along(z).loc, now[1])
    prior.rate(posterior, z).sum().backward()
    assert q.moments.direct.weight.grad.any()
    with torch.no_grad():
        assert not posterior.sample().requires_grad
