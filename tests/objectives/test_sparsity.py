"""Penalties on the size of codes, held against the rates of densities that they stand for."""

from functools import partial

import pytest
import torch
from oracles import undecoded
from torch import distributions as td
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes, Trace
from aelab.models.distributions import PointMass
from aelab.models.posteriors import Deterministic
from aelab.objectives.sparsity import Activity, ActivityRate, CodeNorm


def trace_of(codes):
    x = torch.zeros(len(codes), 1)
    return Trace(Batch(x), x, None, PointMass(codes), None, codes[None], undecoded)


class Model(nn.Module):
    def __init__(self, activation=nn.Sigmoid):
        super().__init__()
        self.posterior = Deterministic(3, Sizes(latent=4), activation)


def test_the_norm_and_the_activity_are_rates_of_priors_but_for_constants():
    z = torch.randn(6, 4)
    zero = torch.zeros(4)
    for term, prior in ((CodeNorm(), td.Normal(zero, 1)), (Activity(), td.Laplace(zero, 1))):
        truth = (prior.log_prob(zero) - prior.log_prob(z)).sum(-1).mean()
        assert_close(term(trace_of(z), Model()), truth)


def test_the_rate_of_activity_is_a_divergence_of_coins_and_vanishes_at_its_target():
    z = torch.rand(6, 4)
    truth = td.kl_divergence(td.Bernoulli(torch.tensor(0.2)), td.Bernoulli(z.mean(0))).sum()
    assert_close(ActivityRate(0.2)(trace_of(z), Model()), truth)
    assert ActivityRate(0.2)(trace_of(torch.full((3, 4), 0.2)), Model()).abs() < 1e-6


@pytest.mark.parametrize(
    "make",
    [partial(ActivityRate, target=1.0), lambda: ActivityRate()(trace_of(torch.rand(2, 4)), Model(nn.ReLU))],
)
def test_what_has_no_rate_between_0_and_1_is_refused(make):
    with pytest.raises(ConfigurationError, match=r"between 0 and 1"):
        make()
