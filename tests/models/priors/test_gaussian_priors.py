import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Sizes
from aelab.models.priors import Conditional, StandardNormal


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_standard_normal_prior_follows_its_module_and_saves_nothing():
    prior = StandardNormal(Sizes(latent=2)).double()
    p = prior(None, None)
    assert (p.batch_shape, p.event_shape, p.mean.dtype) == ((), (2,), torch.float64)
    assert_close(p.mean, torch.zeros(2).double())
    assert_close(p.variance, torch.ones(2).double())
    assert not prior.state_dict()


def test_the_conditional_prior_begins_as_the_standard_one():
    p = Conditional(Sizes(latent=2, context=3))(torch.randn(7, 3), None)
    assert (p.batch_shape, p.event_shape) == ((7,), (2,))
    assert_close(p.mean, torch.zeros(7, 2))
    assert_close(p.variance, torch.ones(7, 2))


def test_the_conditional_prior_learns_a_mean_and_a_variance_for_each_context():
    prior = Conditional(Sizes(latent=1, context=2))
    truth = {"mean": torch.tensor([[-1.0], [2.0]]), "variance": torch.tensor([[0.5], [3.0]])}
    noise = torch.randn(2, 500, 1)
    noise = (noise - noise.mean(1, keepdim=True)) / noise.std(1, keepdim=True, correction=0)
    codes = truth["mean"] + noise.movedim(1, 0) * truth["variance"].sqrt()
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -prior(torch.eye(2), None).log_prob(codes).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    p = prior(torch.eye(2), None)
    assert_close({"mean": p.mean, "variance": p.variance}, truth, atol=1e-2, rtol=1e-2)


def test_the_conditional_prior_stays_finite_for_enormous_contexts():
    prior = Conditional(Sizes(latent=2, context=3))
    nn.init.normal_(prior.projection.weight)
    p = prior(1e6 * torch.randn(7, 3), None)
    assert p.variance.isfinite().all()
    assert (p.variance > 0).all()


def test_the_conditional_prior_needs_a_context():
    with pytest.raises(ConfigurationError, match="condition=label"):
        Conditional(Sizes(latent=2))
