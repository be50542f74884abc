"""A likelihood may own a network that reads earlier positions of x: teacher forced, and sampled by a walk."""

from functools import partial
from itertools import product

import pytest
import torch
from oracles import jacobian
from small import SMALL
from torch import nn
from torch.distributions import Bernoulli, Distribution, constraints
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.records import Batch
from aelab.models import autoencoder
from aelab.models.distributions.later import as_now
from aelab.models.likelihoods import Likelihood
from aelab.models.networks.mlp import MLPDecoder, MLPEncoder
from aelab.models.posteriors import DiagonalGaussian
from aelab.models.priors import StandardNormal
from aelab.objectives.base import Objective
from aelab.objectives.bounds import KL, Reconstruction
from aelab.runs.build import build as build_parts

LENGTH, TOLD = 4, 3


class Walk(Distribution):
    """Binary x (S, B, *shape), the probability of each position given all before it and what it is told."""

    arg_constraints, support = {}, constraints.boolean

    def __init__(self, told, logits, shape):
        self.told, self.logits, self.shape = told, logits, shape  # told: (S, B, positions, numbers)
        super().__init__(told.shape[:2], shape, validate_args=False)

    def each(self, x):
        flat = x.flatten(-len(self.shape)).expand(self.told.shape[:-1])
        return -nn.functional.binary_cross_entropy_with_logits(
            self.logits(flat, self.told), flat, reduction="none"
        )

    def log_prob(self, x):
        return self.each(x).sum(-1)

    def walk(self, step):
        x = self.told.new_zeros(self.told.shape[:-1])
        for t in range(x.shape[-1]):
            x = x.clone()
            x[..., t] = step(self.logits(x, self.told)[..., t].sigmoid())
        return x.unflatten(-1, self.shape)

    @torch.no_grad()
    def sample(self, sample_shape=()):
        assert not sample_shape
        return self.walk(torch.bernoulli)

    @property
    def mean(self):
        return self.walk(lambda p: p)


class Autoregressive(Likelihood):
    """The decoder tells each position some numbers; a network reads them and the positions before it."""

    drawn = True

    def __init__(self, positions):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2 * positions + TOLD, 16), nn.Tanh(), nn.Linear(16, 1))
        self.register_buffer("before", torch.ones(positions, positions).tril(-1))
        self.register_buffer("place", torch.eye(positions))

    def parameters_of(self, shape):
        return (TOLD, *shape)

    def forward(self, params):
        shape = params.shape[3:]
        told = params.flatten(3).movedim(2, -1)
        return Walk(told, as_now(self.logits, params.device.type), shape)

    def logits(self, x, told):
        earlier = x[..., None, :] * self.before
        read = torch.cat([earlier, self.place.expand_as(earlier), told], -1)
        return self.layers(read)[..., 0].float()


def build():
    torch.manual_seed(0)
    model = autoencoder(
        (LENGTH,), 2, None,
        encoder=partial(MLPEncoder, widths=[8]), posterior=DiagonalGaussian, prior=StandardNormal,
        decoder=partial(MLPDecoder, widths=[8]), likelihood=Autoregressive(LENGTH),
    )  # fmt: skip
    for parameter in (*model.decoder.parameters(), *model.likelihood.parameters()):
        nn.init.normal_(parameter)  # far from independent positions
    return model


EVERY = torch.tensor(list(product((0.0, 1.0), repeat=LENGTH)))


def test_a_position_depends_on_those_before_it_and_on_no_other():
    likelihood = build().decode(torch.randn(1, 6, 2))
    slopes = jacobian(lambda x: likelihood.each(x)[0], torch.rand(6, LENGTH))
    of_others = slopes - slopes.diagonal(dim1=-2, dim2=-1).diag_embed()
    assert not of_others.triu().any()
    assert (of_others != 0).any(0).sum() == LENGTH * (LENGTH - 1) / 2


@torch.no_grad()
def test_its_probabilities_sum_to_one_and_are_those_of_its_samples():
    model = build()
    z = torch.randn(1, 1, 2)
    probability = model.decode(z.expand(1, len(EVERY), 2)).log_prob(EVERY)[0].exp()
    assert_close(probability.sum(), torch.tensor(1.0))
    assert probability.max() > 2 * probability.min()
    count = 20_000
    drawn = model.decode(z.expand(1, count, 2)).sample()[0]
    found = (drawn[:, None] == EVERY).all(-1).float().mean(0)
    error = (probability * (1 - probability) / count).sqrt()
    assert ((found - probability).abs() < 5 * error).all()


@torch.no_grad()
def test_its_mean_is_a_walk_of_means_exact_for_the_first_position():
    likelihood = build().decode(torch.randn(1, 1, 2).expand(1, len(EVERY), 2))
    probability = likelihood.log_prob(EVERY).exp()
    assert_close(likelihood.mean[0, 0, 0], probability[0] @ EVERY[:, 0])
    again = Bernoulli(logits=likelihood.logits(likelihood.mean, likelihood.told)).probs
    assert_close(likelihood.mean, again)  # each the mean given the means before it


def test_its_density_is_computed_in_the_precision_of_the_pass_whenever_it_is_asked():
    model, x = build(), EVERY[:5]
    with torch.autocast("cpu", torch.bfloat16):
        torch.manual_seed(1)
        trace = model(Batch(x), 2)
        inside = trace.likelihood.log_prob(x)
        torch.manual_seed(1)
        later = model(Batch(x), 2)
    outside = later.likelihood.log_prob(x)
    assert torch.equal(outside, inside)
    assert outside.dtype == torch.float32
    exact = model.decode(trace.z).log_prob(x)
    assert 1e-6 < (exact - outside).abs().max() < 0.3


def test_it_learns_by_any_objective():
    model = build()
    torch.manual_seed(0)
    x = EVERY[torch.randint(2, (200,)) * 9 + 3]  # 0011 or 1100: the first position decides the others
    objective = Objective({"reconstruction": Reconstruction(), "kl": KL()})
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    costs = []
    for _ in range(150):
        trace = model(Batch(x))
        loss = objective.total(objective(trace, model), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(loss.item())
    assert costs[-1] < 1.2 < costs[0]  # log 2 = 0.69 are the least
    drawn = model.sample(100)
    assert set(drawn.unique().tolist()) <= {0.0, 1.0}
    right = (drawn == EVERY[3]).all(-1) | (drawn == EVERY[12]).all(-1)
    assert right.float().mean() > 0.8


def test_it_is_built_trained_and_measured_as_any_other():
    digits = ["data=digits", "values=threshold", f"model.likelihood._target_={__name__}.Autoregressive"]
    parts = build_parts(compose([*SMALL, *digits, "+model.likelihood.positions=64"]))
    training, batch = parts.training, parts.data.val_examples(8)
    optimizer = training.make_optimizer(list(training.model.parameters()))
    costs = []
    for _ in range(30):
        trace = training.model(batch)
        loss = training.objective.total(training.objective(trace, training.model), 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(loss.item())
    assert costs[-1] < costs[0] - 1
    with torch.no_grad():
        measure = training.measures["val"].clone()
        measure.update(training.model(batch))
        values = measure.compute()
        assert values.keys() >= {"elbo", "mse", "bits_per_dim"}
        assert values["elbo"] == pytest.approx(-values["distortion"] - values["kl"])
        assert set(training.model.sample(3).unique().tolist()) == {0.0, 1.0}
