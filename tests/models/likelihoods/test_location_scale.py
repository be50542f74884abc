import math

import pytest
import torch
from oracles import assert_mean
from torch import distributions as td
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.models.likelihoods import Gaussian, Laplace, LogCosh, OptimalGaussian, StudentT

EVENT = (3, 2, 2)
REFERENCES = {
    Gaussian: td.Normal,
    Laplace: td.Laplace,
    StudentT: lambda loc, scale: td.StudentT(5.0, loc, scale),
    # 1 / (pi cosh t) is the density of the logarithm of a half-Cauchy variable.
    LogCosh: lambda loc, scale: td.TransformedDistribution(
        td.HalfCauchy(torch.ones_like(loc)), [LogOf(loc, torch.as_tensor(scale))], validate_args=False
    ),
}
every_family = pytest.mark.parametrize("family", REFERENCES)


class LogOf(td.Transform):
    """y -> loc + scale log y."""

    domain, codomain, bijective = td.constraints.positive, td.constraints.real, True

    def __init__(self, loc, scale):
        super().__init__()
        self.loc, self.scale = loc, scale

    def _call(self, x):
        return self.loc + self.scale * x.log()

    def _inverse(self, y):
        return ((y - self.loc) / self.scale).exp()

    def log_abs_det_jacobian(self, x, y):
        return torch.log(self.scale / x)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@every_family
def test_a_fixed_or_learned_scale_is_that_of_the_reference(family):
    params, x = torch.randn(2, 6, *EVENT), torch.rand(6, *EVENT)
    expected = REFERENCES[family](params.sigmoid(), 0.3).log_prob(x).sum((-1, -2, -3))
    for learned in (False, True):
        likelihood = family(scale=0.3, learned=learned)
        assert_close(likelihood(params).log_prob(x), expected)
        assert likelihood.parameters_of((3, 2, 2)) == (3, 2, 2)


@every_family
def test_a_learned_scale_gets_the_gradient_of_the_reference(family):
    params, x = torch.randn(2, 6, *EVENT), torch.rand(6, *EVENT)
    likelihood = family(scale=0.3, learned=True)
    likelihood(params).log_prob(x).sum().backward()
    log_scale = torch.tensor(math.log(0.3), requires_grad=True)
    REFERENCES[family](params.sigmoid(), log_scale.exp()).log_prob(x).sum().backward()
    assert_close(likelihood.log_scale.grad, log_scale.grad, rtol=1e-4, atol=1e-3)


@every_family
def test_a_scale_for_each_pixel_is_a_factor_of_the_common_one(family):
    likelihood = family(scale=0.3, per_pixel=True)
    assert likelihood.parameters_of((3, 2, 2)) == (6, 2, 2)
    params, x = torch.randn(2, 6, 6, 2, 2), torch.rand(6, *EVENT)
    p = likelihood(params)
    loc, factor = params[:, :, :3].sigmoid(), params[:, :, 3:].exp()
    assert (p.batch_shape, p.event_shape) == ((2, 6), EVENT)
    assert_close(p.log_prob(x), REFERENCES[family](loc, 0.3 * factor).log_prob(x).sum((-1, -2, -3)))
    assert_close(p.mean, loc)


@every_family
def test_scales_of_pixels_stay_finite_for_enormous_outputs(family):
    params = 1e6 * torch.randn(1, 6, 6, 2, 2)
    params.requires_grad_()
    nats = family(per_pixel=True)(params).log_prob(torch.rand(6, *EVENT))
    nats.sum().backward()
    assert nats.isfinite().all()
    assert params.grad.isfinite().all()


@every_family
def test_samples_have_the_mean(family):
    p = family(scale=0.3)(torch.randn(1, 2, *EVENT))
    assert_mean(p.sample((20_000,)), p.mean)


def test_the_degrees_of_freedom_and_the_sharpness_are_used_and_checked():
    params, x = torch.randn(2, 6, *EVENT), torch.rand(6, *EVENT)
    t = td.StudentT(2.5, params.sigmoid(), 1.0).log_prob(x).sum((-1, -2, -3))
    assert_close(StudentT(degrees=2.5)(params).log_prob(x), t)
    laplace = td.Laplace(params.sigmoid(), 1.0).log_prob(x).sum((-1, -2, -3))
    assert_close(LogCosh(sharpness=1e5)(params).log_prob(x), laplace, atol=1e-2, rtol=0)
    for refused in (lambda: StudentT(degrees=1.0), lambda: LogCosh(sharpness=0.0)):
        with pytest.raises(ConfigurationError, match="likelihood"):
            refused()


def test_the_optimal_gaussian_fits_the_scale_of_each_batch_while_training():
    likelihood = OptimalGaussian(bounds=None)
    params, x = torch.randn(2, 6, *EVENT), torch.rand(6, *EVENT)
    rmse = (params - x).square().mean().sqrt()
    assert_close(likelihood(params).log_prob(x), td.Normal(params, rmse).log_prob(x).sum((-1, -2, -3)))


def test_the_kept_scale_arrives_at_the_truth_and_evaluation_uses_it():
    likelihood, loc = OptimalGaussian(momentum=0.05, bounds=None), torch.zeros(1, 50, *EVENT)
    for _ in range(200):
        likelihood(loc).log_prob(0.2 * torch.randn(50, *EVENT))
    assert likelihood.log_variance.exp().sqrt().item() == pytest.approx(0.2, rel=0.02)
    assert not likelihood.log_variance.requires_grad
    restored = OptimalGaussian(bounds=None)
    restored.load_state_dict(likelihood.state_dict())
    kept, x = likelihood.log_variance.clone(), 3 * torch.randn(50, *EVENT)
    expected = td.Normal(loc, (0.5 * kept).exp()).log_prob(x).sum((-1, -2, -3))
    with torch.no_grad():
        assert_close(likelihood(loc).log_prob(x), expected)
    for each in (likelihood.eval(), restored.eval()):
        assert_close(each(loc).log_prob(x), expected)
    assert torch.equal(likelihood.log_variance, kept)


def test_the_first_batches_move_the_kept_scale_by_the_momentum():
    likelihood = OptimalGaussian(momentum=0.25, bounds=None)
    likelihood(torch.zeros(1, 2, *EVENT)).log_prob(torch.full((2, *EVENT), math.e**2))
    assert likelihood.log_variance.item() == pytest.approx(0.25 * 4)
    with pytest.raises(ConfigurationError, match="momentum"):
        OptimalGaussian(momentum=0.0)
