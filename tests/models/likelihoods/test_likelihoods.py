import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.likelihoods import Bernoulli, ContinuousBernoulli, Gaussian, Laplace

EVENTS = [(3,), (3, 4, 5)]
FAMILIES = [Bernoulli, ContinuousBernoulli, Gaussian, Laplace]
every_family = pytest.mark.parametrize("family", FAMILIES)
every_event = pytest.mark.parametrize("event", EVENTS, ids=str)
scaled = pytest.mark.parametrize("family", [Gaussian, Laplace])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def total(values, event):
    return values.flatten(-len(event)).sum(-1)


@every_event
@every_family
def test_shapes(family, event):
    p = family()(torch.randn(2, 6, *event))
    x = torch.rand(6, *event)
    assert (p.batch_shape, p.event_shape) == ((2, 6), event)
    assert p.log_prob(x).shape == (2, 6)
    assert p.mean.shape == p.sample().shape == (2, 6, *event)
    assert ((p.mean > 0) & (p.mean < 1)).all()


@every_family
def test_half_precision_parameters_give_the_float32_density(family):
    params, x = torch.randn(2, 6, 3).bfloat16(), torch.rand(6, 3)
    likelihood = family()
    assert likelihood(params).log_prob(x).dtype == torch.float32
    assert_close(likelihood(params).log_prob(x), likelihood(params.float()).log_prob(x))


@every_event
def test_bernoulli_is_the_cross_entropy(event):
    logits, x = torch.randn(2, 6, *event), torch.rand(6, *event)
    cost = F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
    p = Bernoulli()(logits)
    assert_close(-p.log_prob(x), total(cost, event))
    assert_close(p.mean, logits.sigmoid())
    assert p.support.is_discrete


@every_event
def test_gaussian_of_scale_one_is_half_the_squared_error(event):
    params, x = torch.randn(2, 6, *event), torch.rand(6, *event)
    half = 0.5 * total((params.sigmoid() - x).square(), event)
    constant = 0.5 * math.prod(event) * math.log(2 * math.pi)
    assert_close(-Gaussian()(params).log_prob(x), half + constant)


@every_event
def test_laplace_of_scale_one_is_the_absolute_error(event):
    params, x = torch.randn(2, 6, *event), torch.rand(6, *event)
    constant = math.prod(event) * math.log(2)
    assert_close(-Laplace()(params).log_prob(x), total((params.sigmoid() - x).abs(), event) + constant)


@pytest.mark.parametrize(
    ("family", "reference"), [(Gaussian, torch.distributions.Normal), (Laplace, torch.distributions.Laplace)]
)
def test_location_and_scale_are_those_of_torch(family, reference):
    params, x = torch.randn(2, 6, 3), torch.rand(6, 3)
    ours = family(scale=0.3, bounds=None)(params)
    assert_close(ours.log_prob(x), reference(params, 0.3).log_prob(x).sum(-1))
    assert_close(ours.mean, params)
    assert not ours.support.is_discrete


@pytest.mark.parametrize(
    "logit",
    [
        *(-12.0, -3.0, -0.1, -1e-3, 0.0, 1e-4, 0.02, 0.5, 5.0, 12.0),
        *(-60.0, 25.0, 200.0),
    ],
)
def test_continuous_bernoulli_is_a_density_with_its_mean(logit):
    p = ContinuousBernoulli()(torch.full((1, 1, 1), logit))
    x = torch.linspace(0, 1, 40_001)[:, None]
    density = p.log_prob(x[:, None]).double().exp().flatten()
    x = x.double().flatten()
    assert torch.trapezoid(density, x).item() == pytest.approx(1, abs=1e-3)
    assert torch.trapezoid(x * density, x).item() == pytest.approx(p.mean.item(), abs=1e-3)
    assert not p.support.is_discrete


@pytest.mark.parametrize(
    ("family", "optimum"),
    [(Gaussian, lambda e: e.square().mean().sqrt()), (Laplace, lambda e: e.abs().mean())],
)
def test_the_learned_scale_is_best_at_the_size_of_the_error(family, optimum):
    params, x = torch.randn(1, 50, 4), torch.rand(50, 4)
    best = optimum(params[0] - x).item()

    def slope(scale):
        likelihood = family(scale, learned=True, bounds=None)
        (-likelihood(params).log_prob(x).mean() / 4).backward()
        return likelihood.log_scale.grad.item()

    assert slope(best) == pytest.approx(0, abs=1e-5)
    assert slope(0.9 * best) < -0.05 < 0.05 < slope(1.1 * best)


@scaled
def test_the_scale_is_trained_only_where_asked_and_saved_with_the_weights(family):
    assert not [p for p in family().parameters() if p.requires_grad]
    (learned,) = family(0.5, learned=True).parameters()
    assert learned.requires_grad
    copy = family(learned=True)
    copy.load_state_dict(family(0.5, learned=True).state_dict())
    params, x = torch.randn(1, 6, 3), torch.rand(6, 3)
    assert_close(copy(params).log_prob(x), family(0.5)(params).log_prob(x))


@scaled
@pytest.mark.parametrize("scale", [0, 0.0, -1.0, -math.inf])
def test_a_scale_that_is_not_positive_is_refused(family, scale):
    with pytest.raises(ConfigurationError, match="scale"):
        family(scale)
