"""Translation between two domains: the cycle of codes, the second prior, and what is found unpaired."""

import math

import pytest
import torch
from linear_gaussian import linear_gaussian
from small import SMALL
from torch.distributions import Independent, Normal
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Sizes
from aelab.models.networks.corruption import Inversion
from aelab.models.priors import OtherDomain
from aelab.objectives.cycle import Cycle
from aelab.runs.build import build
from aelab.training.checkpoints import load

SHAPE = (1, 2, 2)
MAPS = ["network=conv", "latent=1", "network.strides=[1,1]", "model.encoder.flat=false"]


def other_domain(components=3, **options):
    torch.manual_seed(0)
    prior = OtherDomain(Sizes(SHAPE, latent=4), Inversion(), components=components, **options)
    x = torch.rand(5, *SHAPE)
    prior.initialise(x)
    return prior, x


def test_its_draws_are_the_changed_observations_alone():
    prior, x = other_domain(scale=1e-4)
    drawn = prior(None, None).sample((400,))
    near = torch.cdist(drawn, 1 - x[:3].flatten(1)).min(1)
    assert near.values.max() < 1e-3
    counts = near.indices.bincount(minlength=3)
    assert (counts - 400 / 3).abs().max() < 4 * (400 * 2 / 9) ** 0.5


def test_where_there_are_fewer_observations_each_is_as_likely_and_loaded_so():
    prior, x = other_domain(components=7, scale=0.5)
    loaded = OtherDomain(Sizes(SHAPE, latent=4), Inversion(), components=7, scale=0.5)
    loaded.load_state_dict(prior.state_dict())
    z = torch.randn(6, 4)
    each = Independent(Normal(1 - x.flatten(1), 0.5), 1).log_prob(z[:, None])
    for every in (prior, loaded):
        assert_close(every(None, None).log_prob(z), each.logsumexp(1) - math.log(5))


def test_values_are_inverted_between_their_bounds():
    x, inverted = torch.tensor([[-1.0, 0.0, 3.0], [3.0, 2.0, -1.0]])
    assert torch.equal(Inversion(bounds=(-1, 3))(x), inverted)
    with pytest.raises(ConfigurationError, match=r"give model\.prior\.change\.bounds="):
        Inversion(bounds=None)


def test_its_density_is_that_of_equal_gaussians_around_them():
    prior, x = other_domain(scale=0.5)
    z = torch.randn(6, 4)
    each = Independent(Normal(1 - x[:3].flatten(1), 0.5), 1).log_prob(z[:, None])
    assert_close(prior(None, None).log_prob(z), each.logsumexp(1) - math.log(3))


def test_maps_that_undo_each_other_have_no_cycle_and_others_half_the_squared_error():
    model, marginal = linear_gaussian()
    batch = Batch(marginal.sample((6,)))
    trace = model(batch)
    found = Cycle()(trace, model)
    x, z = trace.made["samples"]
    with torch.no_grad():
        assert_close(found, 0.5 * (model.encode(x).mean - z).square().sum(-1).mean())
        assert found > 0
        weight = model.decoder.weight
        model.posterior.slope.copy_(torch.linalg.pinv(weight))
        model.posterior.shift.copy_(-model.posterior.slope @ model.decoder.bias)
        assert Cycle()(model(batch), model) < 1e-20


def test_the_cycle_trains_both_maps():
    model, marginal = linear_gaussian()
    Cycle()(model(Batch(marginal.sample((6,)))), model).backward()
    for part in (model.posterior.slope, model.decoder.weight):
        assert part.grad.any()


def test_a_second_domain_needs_codes_as_large_as_an_observation():
    with pytest.raises(ConfigurationError, match=r"codes of 64 numbers.*leave latent out"):
        build(compose([*SMALL, "variant=cycle_gan", "latent=8"]))
    assert compose(["variant=cycle_gan", "data.shape=[3,8,8]"]).latent == 192
    for option in ("model.prior.components=0", "model.prior.scale=0"):
        with pytest.raises(ConfigurationError, match=option):
            build(compose([*SMALL, "variant=cycle_gan", option]))


@pytest.mark.slow
def test_white_digits_are_made_black_and_back_by_sets_that_nobody_paired(train):
    run = train("variant=cycle_gan", *MAPS, base=["logger=[]", "threads=1", "trainer.max_epochs=20"])
    parts = build(compose(["variant=cycle_gan", *MAPS, "logger=[]"]))
    parts.training.load_state_dict(load(run.checkpoints / "best.ckpt")["state_dict"])
    model, x = parts.training.model.eval(), parts.data.val_examples(300).x
    with torch.no_grad():
        there = model.encode(x).mean.view_as(x)
        back = model.decode((1 - x).flatten(1)[None]).mean[0]
    errors = [(there - (1 - x)).square().mean().item(), (back - x).square().mean().item()]
    print(f"mean squared errors {errors}, of {x.var(0).mean():.3f} for the mean image")
    assert max(errors) < 0.2 * x.var(0).mean()
