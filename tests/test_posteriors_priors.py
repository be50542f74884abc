import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.distributions import StandardGaussian, divergence
from aelab.errors import ConfigurationError
from aelab.posteriors import Deterministic, DiagonalGaussian
from aelab.priors import Conditional, StandardNormal

every_posterior = pytest.mark.parametrize("posterior", [Deterministic, DiagonalGaussian])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def encode(x, context=None):
    raise AssertionError("these priors do not encode")


@every_posterior
def test_a_posterior_is_over_codes_of_the_latent_size(posterior):
    q = posterior(5, 2)(torch.randn(7, 5))
    assert (q.batch_shape, q.event_shape) == ((7,), (2,))
    assert q.rsample((3,)).shape == (3, 7, 2)


@every_posterior
def test_the_mean_is_linear_in_the_features_up_to_its_activation(posterior):
    linear, rectified = posterior(5, 2), posterior(5, 2, nn.ReLU)
    rectified.load_state_dict(linear.state_dict())
    a, b = torch.randn(2, 7, 5)
    mean = [linear(h).mean for h in (a, b, a + b, torch.zeros(7, 5))]
    assert_close(mean[0] + mean[1], mean[2] + mean[3])
    assert_close(rectified(a).mean, mean[0].relu())


def test_the_logarithm_of_the_variance_is_linear_in_the_features():
    posterior = DiagonalGaussian(5, 2)
    a, b = torch.randn(2, 7, 5)
    logs = [posterior(h).variance.log() for h in (a, b, a + b, torch.zeros(7, 5))]
    assert_close(logs[0] + logs[1], logs[2] + logs[3])


@pytest.mark.parametrize("size", [1e3, 1e6, 1e12])
def test_enormous_features_leave_everything_finite(size):
    posterior = DiagonalGaussian(5, 3)
    h = (size * torch.randn(64, 5)).requires_grad_()
    q = posterior(h)
    z = q.rsample()
    kl = divergence(q, StandardGaussian(h.new_zeros(3)), z)
    (kl.mean() + q.entropy().mean() + z.mean()).backward()
    for values in (q.variance, q.variance.reciprocal(), z, q.log_prob(z), q.entropy(), kl, h.grad):
        assert values.isfinite().all()
    assert all(p.grad.isfinite().all() for p in posterior.parameters())


@every_posterior
@pytest.mark.parametrize(
    "latent",
    [
        0,
        -1,
        1.5,
        "4",
        None,
        True,
    ],
)
def test_a_latent_size_that_is_no_positive_integer_is_refused(posterior, latent):
    with pytest.raises(ConfigurationError, match="latent"):
        posterior(5, latent)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_densities_stay_in_float32_under_mixed_precision(half):
    h, context = torch.randn(7, 5), torch.eye(7)
    with torch.autocast("cpu", half):
        q, point, p = DiagonalGaussian(5, 2)(h), Deterministic(5, 2)(h), Conditional(2, 7)(context, encode)
    for values in (q.loc, q.log_variance, q.rsample(), point.mean, p.loc, p.log_variance):
        assert values.dtype == torch.float32


def test_the_standard_normal_prior_follows_its_module_and_saves_nothing():
    prior = StandardNormal(2).double()
    p = prior(None, encode)
    assert (p.batch_shape, p.event_shape, p.mean.dtype) == ((), (2,), torch.float64)
    assert_close(p.mean, torch.zeros(2).double())
    assert_close(p.variance, torch.ones(2).double())
    assert not prior.state_dict()


def test_the_conditional_prior_begins_as_the_standard_one():
    p = Conditional(2, 3)(torch.randn(7, 3), encode)
    assert (p.batch_shape, p.event_shape) == ((7,), (2,))
    assert_close(p.mean, torch.zeros(7, 2))
    assert_close(p.variance, torch.ones(7, 2))


def test_the_conditional_prior_learns_a_mean_and_a_variance_for_each_context():
    prior = Conditional(1, 2)
    truth = {"mean": torch.tensor([[-1.0], [2.0]]), "variance": torch.tensor([[0.5], [3.0]])}
    noise = torch.randn(2, 500, 1)
    noise = (noise - noise.mean(1, keepdim=True)) / noise.std(1, keepdim=True, correction=0)
    codes = truth["mean"] + noise.movedim(1, 0) * truth["variance"].sqrt()
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -prior(torch.eye(2), encode).log_prob(codes).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    p = prior(torch.eye(2), encode)
    assert_close({"mean": p.mean, "variance": p.variance}, truth, atol=1e-2, rtol=1e-2)


def test_the_conditional_prior_stays_finite_for_enormous_contexts():
    prior = Conditional(2, 3)
    nn.init.normal_(prior.projection.weight)
    p = prior(1e6 * torch.randn(7, 3), encode)
    assert p.variance.isfinite().all()
    assert (p.variance > 0).all()


def test_the_conditional_prior_needs_a_context():
    with pytest.raises(ConfigurationError, match="condition=label"):
        Conditional(2)
