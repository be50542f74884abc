import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.distributions import StandardGaussian, divergence
from aelab.models.posteriors import Deterministic, DiagonalGaussian
from aelab.models.priors import Conditional

every_posterior = pytest.mark.parametrize("posterior", [Deterministic, DiagonalGaussian])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@every_posterior
def test_a_posterior_is_over_codes_of_the_latent_size(posterior):
    q = posterior(5, Sizes(latent=2))(torch.randn(7, 5))
    assert (q.batch_shape, q.event_shape) == ((7,), (2,))
    assert q.rsample((3,)).shape == (3, 7, 2)


@every_posterior
def test_the_mean_is_linear_in_the_features_up_to_its_activation(posterior):
    linear, rectified = posterior(5, Sizes(latent=2)), posterior(5, Sizes(latent=2), nn.ReLU)
    rectified.load_state_dict(linear.state_dict())
    a, b = torch.randn(2, 7, 5)
    mean = [linear(h).mean for h in (a, b, a + b, torch.zeros(7, 5))]
    assert_close(mean[0] + mean[1], mean[2] + mean[3])
    assert_close(rectified(a).mean, mean[0].relu())


def test_the_logarithm_of_the_variance_is_linear_in_the_features():
    posterior = DiagonalGaussian(5, Sizes(latent=2))
    a, b = torch.randn(2, 7, 5)
    logs = [posterior(h).variance.log() for h in (a, b, a + b, torch.zeros(7, 5))]
    assert_close(logs[0] + logs[1], logs[2] + logs[3])


@pytest.mark.parametrize("size", [1e3, 1e6, 1e12])
def test_enormous_features_leave_everything_finite(size):
    posterior = DiagonalGaussian(5, Sizes(latent=3))
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
        posterior(5, Sizes(latent=latent))


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_densities_stay_in_float32_under_mixed_precision(half):
    h, context, sizes = torch.randn(7, 5), torch.eye(7), Sizes(latent=2, context=7)
    with torch.autocast("cpu", half):
        q, point = DiagonalGaussian(5, sizes)(h), Deterministic(5, sizes)(h)
        p = Conditional(sizes)(context, None)
    for values in (q.loc, q.log_variance, q.rsample(), point.mean, p.loc, p.log_variance):
        assert values.dtype == torch.float32
