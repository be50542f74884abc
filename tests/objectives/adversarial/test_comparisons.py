"""What critics compare: which side moves whom, and the total correlation of Gaussian codes."""

import math

import pytest
import torch
from oracles import undecoded
from torch import nn
from torch.distributions import kl_divergence
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes, Trace
from aelab.models.distributions import Gaussian, PointMass, StandardGaussian
from aelab.objectives.adversarial.comparisons import (
    CodesGivenObservations,
    CodesWithPermuted,
    CodesWithPrior,
    Pairs,
    Sample,
    codes,
    drawn,
    permuted,
)
from aelab.objectives.adversarial.critic import Deception, Discriminator
from aelab.objectives.adversarial.losses import DensityRatio, NonSaturating
from aelab.objectives.base import Objective


def trace_of(z, prior=True):
    x = torch.zeros(len(z), 1)
    return Trace(
        Batch(x), x, None, Gaussian(z, torch.zeros_like(z)),
        StandardGaussian(torch.zeros(z.shape[1], dtype=z.dtype)) if prior else None, z[None], undecoded,
    )  # fmt: skip


def test_permuting_keeps_the_values_of_each_column_and_not_its_rows():
    z = torch.randn(200, 3)
    found = permuted(z)
    assert torch.equal(found.sort(0).values, z.sort(0).values)
    assert (found != z).float().mean() > 0.9
    assert not torch.equal(found[:, 0].argsort(), found[:, 1].argsort())


class Quadratic(nn.Module):
    """Scores linear in all products of two codes, as the best logit of two Gaussians is."""

    def __init__(self, shapes, context, outputs):
        super().__init__()
        ((size,),) = shapes
        self.rows, self.columns = torch.triu_indices(size, size)
        self.head = nn.Linear(size + len(self.rows), outputs).double()

    def forward(self, sample):
        (z,) = sample.parts
        return self.head(torch.cat([z, z[:, self.rows] * z[:, self.columns]], 1))


def fit(critic, trace):
    """The critic at the least of its cost on one trace, under the same noise at each look."""
    optimizer = torch.optim.LBFGS(critic.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def cost():
        optimizer.zero_grad()
        torch.manual_seed(1)
        found = critic.cost(trace, None)
        found.backward()
        return found

    optimizer.step(cost)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.8])
def test_a_critic_of_permuted_codes_measures_the_total_correlation(correlation):
    torch.manual_seed(0)
    covariance = torch.tensor([[1.0, correlation], [correlation, 1.0]]).double()
    z = torch.randn(20_000, 2).double() @ torch.linalg.cholesky(covariance).T
    truth = 0.5 * (covariance.diagonal().log().sum() - covariance.logdet()).item()
    assert truth == pytest.approx(-0.5 * math.log(1 - correlation**2))
    critic = Discriminator(_sizes(2), Quadratic, CodesWithPermuted(), DensityRatio())
    objective = Objective({"tc": Deception("permuted")}, critics={"permuted": critic})
    trace = trace_of(z)
    fit(critic, trace)
    assert objective(trace, None)["tc"].item() == pytest.approx(truth, abs=0.02)


def _sizes(latent):
    return Sizes(latent=latent, layout=(latent,))


def test_what_is_not_there_is_named_in_one_sentence():
    trace = trace_of(torch.randn(3, 2), prior=False)
    with pytest.raises(ConfigurationError, match="choose prior=standard_normal"):
        drawn(trace, "a critic of codes")
    alone = Trace(
        Batch(torch.zeros(3, 1)), torch.zeros(3, 1), None, None, None, torch.zeros(1, 3, 2), undecoded
    )
    with pytest.raises(ConfigurationError, match="a critic of codes needs a posterior"):
        codes(alone, "a critic of codes")


def test_a_constant_sample_carries_no_gradient():
    z = torch.randn(2, 3, requires_grad=True)
    found = Sample((z,), z).constant()
    assert not found.parts[0].requires_grad
    assert not found.context.requires_grad
    assert_close(found.parts[0], z.detach())


def test_a_part_of_the_codes_is_compared_with_the_same_part_of_the_priors():
    trace = trace_of(torch.arange(12.0).view(2, 6))
    for options, columns in (({"last": 2}, [4, 5]), ({"without_last": 4}, [0, 1]), ({}, range(6))):
        compares = CodesWithPrior(**options)
        ((size,),) = compares.shapes(_sizes(6))
        (made,), (true,) = compares.made(trace, None).parts, compares.true(trace, None).parts
        assert_close(made, trace.z[0][:, list(columns)])
        assert size == made.shape[1] == true.shape[1]
    for options in ({"last": 7}, {"without_last": 6}):
        with pytest.raises(ConfigurationError, match="latent=6"):
            CodesWithPrior(**options).shapes(_sizes(6))


class GivenObservation(nn.Module):
    """Scores quadratic in a code, for each of two observations by coefficients of its own."""

    def __init__(self, shapes, context, outputs):
        super().__init__()
        self.head = nn.Linear(6, outputs, bias=False)

    def forward(self, sample):
        z, x = sample.parts
        powers = torch.cat([torch.ones_like(z), z, z.square()], 1)
        return self.head((x[:, :, None] * powers[:, None]).flatten(1))


def test_a_critic_of_codes_given_their_observation_measures_the_rate():
    torch.manual_seed(0)
    x = torch.eye(2).repeat(20_000, 1)
    q = Gaussian(x @ torch.tensor([[1.0], [-0.5]]), x @ torch.tensor([[-1.0], [0.3]]))
    prior = StandardGaussian(torch.zeros(1))
    trace = Trace(Batch(x), x, None, q, prior, q.rsample()[None], undecoded)
    sizes = Sizes(shape=(2,), latent=1, layout=(1,))
    critic = Discriminator(sizes, GivenObservation, CodesGivenObservations(), DensityRatio())
    objective = Objective({"rate": Deception("posterior")}, critics={"posterior": critic})
    fit(critic, trace)
    assert objective(trace, None)["rate"].item() == pytest.approx(
        kl_divergence(q, prior).mean().item(), abs=0.03
    )


class Products(nn.Module):
    """Scores linear in the squares and the product of an observation and its code."""

    def __init__(self, shapes, context, outputs):
        super().__init__()
        self.head = nn.Linear(3, outputs)

    def forward(self, sample):
        x, z = sample.parts
        return self.head(torch.cat([x * x, x * z, z * z], 1))


@pytest.mark.parametrize("slope", [0.3, 0.5, 0.8])
def test_the_best_critic_of_pairs_is_at_chance_where_the_encoder_is_the_generators_inverse(slope):
    """G(z) = 2 z, of which the observations are, and E(x) = slope x."""
    torch.manual_seed(0)
    x, z = 2 * torch.randn(20_000, 1), torch.randn(20_000, 1)
    prior = StandardGaussian(torch.zeros(1))
    trace = Trace(Batch(x), x, None, PointMass(slope * x), prior, slope * x[None], undecoded)
    trace.made["samples"] = (2 * z, z)
    critic = Discriminator(Sizes(shape=(1,), latent=1), Products, Pairs(), NonSaturating())
    optimizer = torch.optim.LBFGS(critic.parameters(), max_iter=40, line_search_fn="strong_wolfe")

    def cost():
        optimizer.zero_grad()
        found = critic.cost(trace, None)
        found.backward()
        return found

    optimizer.step(cost)
    at_chance = critic.cost(trace, None).item() == pytest.approx(2 * math.log(2), abs=0.01)
    assert at_chance == (slope == 0.5)
