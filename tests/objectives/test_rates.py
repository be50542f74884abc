from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import undecoded
from torch.distributions import Normal, OneHotCategorical, kl_divergence
from torch.testing import assert_close

from aelab.config.compose import compose
from aelab.config.construct import construct
from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch, Trace
from aelab.core.schedules import Linear
from aelab.models.distributions import Gaussian, Joint, OneHot, PointMass, StandardGaussian
from aelab.objectives.base import Objective
from aelab.objectives.bounds import KL
from aelab.objectives.rates import Capacity, FreeBits

LATENT, COUNT = 3, 6
floats = st.floats(0, 50)
MODEL = SimpleNamespace()


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def trace(posterior=None, prior=None, step=0):
    loc, log_variance = draw(2, COUNT, LATENT)
    posterior = posterior or Gaussian(loc, log_variance)
    prior = prior or StandardGaussian(torch.zeros(LATENT).double())
    x = torch.zeros(COUNT, 1)
    return Trace(Batch(x), x, None, posterior, prior, posterior.rsample((2,)), undecoded, step=step)


def each(made):
    """The rate of each dimension by torch, (B, latent)."""
    q, p = made.posterior, made.prior
    return kl_divergence(Normal(q.loc, q.stddev), Normal(p.loc, p.variance.sqrt()))


def joint(step=0):
    loc, log_variance = draw(2, COUNT, LATENT)
    logits = {f"discrete_{i}": draw(COUNT, 1, size) for i, size in enumerate((2, 4))}
    q = Joint(
        {
            "continuous": Gaussian(loc, log_variance),
            "discrete": Joint({name: OneHot(v, 0.5) for name, v in logits.items()}),
        }
    )
    p = Joint(
        {
            "continuous": StandardGaussian(torch.zeros(LATENT).double()),
            "discrete": Joint({name: OneHot(torch.zeros_like(v[0])) for name, v in logits.items()}),
        }
    )
    rates = [each(trace()).sum(-1).mean()]
    for v in logits.values():
        rates.append(
            kl_divergence(
                OneHotCategorical(logits=v[:, 0]), OneHotCategorical(logits=torch.zeros_like(v[:, 0]))
            ).mean()
        )
    return trace(q, p, step), dict(zip(["continuous", *logits], rates, strict=True))


# Capacity.


@given(floats)
def test_a_capacity_is_the_distance_of_the_rate_from_it(capacity):
    made = trace()
    rate = each(made).sum(-1).mean()
    assert_close(Capacity(capacity)(made, MODEL), (rate - capacity).abs())


def test_without_a_capacity_the_whole_rate_is_paid():
    assert_close(Capacity(0.0)(trace(), MODEL), KL()(trace(), MODEL))


@given(st.integers(0, 200))
def test_a_capacity_rises_with_the_step_of_the_trace(step):
    made = trace(step=step)
    expected = (each(made).sum(-1).mean() - 25 * min(1, step / 100)).abs()
    assert_close(Capacity(Linear(steps=100, end=25.0))(made, MODEL), expected)


def test_below_the_capacity_the_rate_is_pushed_up_and_above_it_down():
    for capacity, sign in ((1e3, -1.0), (0.0, 1.0)):
        loc, log_variance = draw(2, COUNT, LATENT)
        loc.requires_grad_()
        made = trace(Gaussian(loc, log_variance))
        (found,) = torch.autograd.grad(Capacity(capacity)(made, MODEL), loc)
        assert_close(found, sign * loc.detach() / COUNT)


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (None, ["continuous", "discrete_0", "discrete_1"]),
        ("continuous", ["continuous"]),
        ("discrete", ["discrete_0", "discrete_1"]),
    ],
)
def test_a_part_of_a_joint_code_has_a_capacity_of_its_own(part, names):
    made, rates = joint()
    expected = (sum(rates[name] for name in names) - 0.7).abs()
    assert_close(Capacity(0.7, part=part)(made, MODEL), expected)


def test_the_variant_of_dupont_holds_each_part_at_its_own_capacity():
    terms = construct(compose(["variant=joint_vae"]).objective, "objective").terms
    for name in ("continuous", "discrete"):
        terms[name].capacity.plan(12_500)  # steps, of which it rises in eight tenths
    for step in (0, 4_000, 20_000):
        made, rates = joint(step)
        risen = min(1, step / 10_000)
        assert_close(terms["continuous"](made, MODEL), (rates["continuous"] - 5 * risen).abs())
        discrete = rates["discrete_0"] + rates["discrete_1"]
        assert_close(terms["discrete"](made, MODEL), (discrete - 2.3 * risen).abs())


def test_a_part_that_is_not_there_is_refused_by_name():
    made, _ = joint()
    with pytest.raises(ConfigurationError, match=r"'shape'.*continuous, discrete"):
        Capacity(1.0, part="shape")(made, MODEL)
    with pytest.raises(ConfigurationError, match="posterior=joint"):
        Capacity(1.0, part="continuous")(trace(), MODEL)


# Free bits.


def test_a_floor_of_nothing_is_the_rate():
    made = trace()
    assert_close(FreeBits(0.0)(made, MODEL), KL()(made, MODEL))
    prior = Gaussian(draw(COUNT, LATENT) + 1, draw(COUNT, LATENT) / 2)
    assert_close(FreeBits(0.0)(trace(prior=prior), MODEL), KL()(trace(prior=prior), MODEL))


@given(st.floats(0, 3))
def test_each_dimension_pays_at_least_the_floor_on_average(floor):
    made = trace()
    rates = each(made).mean(0)
    expected = sum(max(rate.item(), floor) for rate in rates)
    assert FreeBits(floor)(made, MODEL).item() == pytest.approx(expected)


def test_a_collapsed_posterior_pays_the_floor_in_every_dimension_and_is_not_pulled():
    loc = torch.zeros(COUNT, LATENT, dtype=torch.float64, requires_grad=True)
    made = trace(Gaussian(loc, torch.full_like(loc, 0.1)))
    value = FreeBits(0.25)(made, MODEL)
    assert_close(value.item(), 0.25 * LATENT)
    (found,) = torch.autograd.grad(value, loc)
    assert not found.any()


@given(st.integers(0, 200))
def test_a_floor_follows_the_step_of_the_trace(step):
    made = trace(step=step)
    floor = 2 * min(1, step / 100)
    value = FreeBits(Linear(steps=100, end=2.0))(made, MODEL)
    assert value.item() == pytest.approx(sum(max(rate.item(), floor) for rate in each(made).mean(0)))


@pytest.mark.parametrize("term", [Capacity(1.0), FreeBits()])
def test_a_price_for_the_rate_is_refused_where_there_is_none(term):
    with pytest.raises(ConfigurationError, match="posterior=diagonal_gaussian"):
        term(trace(PointMass(draw(COUNT, LATENT))), MODEL)


def test_free_bits_need_gaussians():
    made, _ = joint()
    with pytest.raises(ConfigurationError, match="posterior=diagonal_gaussian"):
        FreeBits()(made, MODEL)


def test_capacities_and_floors_are_weighed_like_any_term():
    made = trace()
    objective = Objective({"a": Capacity(2.0, weight=10.0), "b": FreeBits(0.5, weight=Linear(steps=10))})
    values = objective(made, MODEL)
    assert_close(values["a"], Capacity(2.0)(made, MODEL))
    assert_close(objective.total(values, step=5), 10 * values["a"] + 0.5 * values["b"])
