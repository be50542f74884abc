from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from linear_gaussian import NOISE, linear_gaussian
from torch.distributions import MultivariateNormal, Normal
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models.distributions import Gaussian, PointMass
from aelab.models.evidence import log_joint, log_mean, log_weights, required_prior


def traced(exact=False):
    torch.manual_seed(0)
    model, marginal = linear_gaussian(exact)
    x = marginal.sample((5,))
    return model(Batch(x), 3), model, marginal.log_prob(x)


def test_the_joint_is_that_of_torch():
    trace, model, _ = traced()
    prior = MultivariateNormal(model.prior.loc, model.prior.log_variance.exp().diag())
    cost = Normal(model.decoder(trace.z), NOISE).log_prob(trace.x).sum(-1)
    assert log_joint(trace).shape == (3, 5)
    assert_close(log_joint(trace), cost + prior.log_prob(trace.z))


def test_weights_are_held_against_what_the_codes_were_drawn_from():
    trace, _, log_p = traced(exact=True)
    assert_close(log_weights(trace), log_p.expand(3, 5))
    wide = Gaussian(trace.posterior.loc, trace.posterior.log_variance + 1)
    difference = trace.posterior.log_prob(trace.z) - wide.log_prob(trace.z)
    assert difference.abs().min() > 1e-3
    assert_close(log_weights(replace(trace, log_q=wide.log_prob(trace.z))), log_p + difference)


@given(st.integers(1, 4), st.integers(1, 4), st.floats(-2000, 2000))
def test_codes_next_to_each_other_make_a_group(groups, each, level):
    log_w = torch.randn(groups * each, 3, dtype=torch.float64)
    found = log_mean(log_w + level, groups)
    assert found.shape == (groups, 3)
    expected = torch.stack([part.exp().mean(0).log() for part in log_w.split(each)])
    assert_close(found, expected + level)


@given(st.integers(1, 12), st.integers(-1, 13))
def test_groups_that_do_not_divide_the_codes_are_refused(samples, groups):
    log_w = torch.zeros(samples, 2)
    if groups > 0 and samples % groups == 0:
        assert_close(log_mean(log_w, groups), torch.zeros(groups, 2))
        return
    with pytest.raises(ConfigurationError, match=f"samples={samples} .*groups={groups}:"):
        log_mean(log_w, groups)


def test_a_prior_and_a_density_are_required():
    trace, _, _ = traced()
    assert required_prior(trace, "a test") is trace.prior
    point = PointMass(trace.z[0])
    for q, p in ((trace.posterior, None), (point, trace.prior), (point, None)):
        lacking = replace(trace, posterior=q, prior=p)
        with pytest.raises(ConfigurationError, match="a test needs a posterior with a density"):
            required_prior(lacking, "a test")
        with pytest.raises(ConfigurationError, match="density"):
            log_weights(lacking)
