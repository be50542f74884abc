"""Penalties against their closed forms: of each observation, whatever the batch's size."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.objectives.adversarial.comparisons import Sample
from aelab.objectives.adversarial.penalties import (
    R1,
    R2,
    Clipping,
    GradientPenalty,
    Penalty,
    SpectralNorm,
    slopes,
)


def sample(*parts):
    return Sample(parts, None)


@pytest.mark.parametrize("size", [1, 3, 64])
def test_a_linear_critics_penalties_are_those_of_its_weights_for_every_batch(size):
    w = torch.randn(6)
    score = lambda s: s.parts[0].flatten(1) @ w  # noqa: E731
    true, made = sample(torch.randn(size, 2, 3)), sample(torch.randn(size, 2, 3))
    assert_close(GradientPenalty(10.0)(score, true, made), 10 * (w.norm() - 1).square())
    assert_close(R1(4.0)(score, true, made), 2 * w.square().sum())
    assert_close(R2(4.0)(score, true, made), 2 * w.square().sum())


def test_the_norm_is_over_all_parts_of_an_observation():
    v, w = torch.randn(3), torch.randn(2)
    score = lambda s: s.parts[0] @ v + s.parts[1] @ w  # noqa: E731
    at = sample(torch.randn(5, 3), torch.randn(5, 2))
    assert_close(slopes(score, at), (v.square().sum() + w.square().sum()).expand(5))


def test_a_quadratic_critics_slope_is_the_trace():
    """E |A x|^2 = tr(A Sigma A'), at what is true for R1 and at what is made for R2."""
    torch.manual_seed(0)
    a = torch.randn(3, 3).double()
    a = a + a.T
    scale = torch.tensor([0.5, 1.0, 2.0]).double()
    true, made = (sample(torch.randn(100_000, 3).double() * s) for s in (scale, 2 * scale))
    score = lambda s: 0.5 * ((s.parts[0] @ a) * s.parts[0]).sum(1)  # noqa: E731
    truth = (a @ scale.square().diag() @ a.T).trace()
    assert_close(R1(2.0)(score, true, made), truth, rtol=0.02, atol=0)
    assert_close(R2(2.0)(score, true, made), 4 * truth, rtol=0.02, atol=0)


def test_slopes_are_taken_between_the_sides_each_on_a_line_of_its_own():
    seen = []

    def score(s):
        seen.append(s.parts[0].detach())
        return s.parts[0].sum(1)

    true, made = sample(torch.zeros(50, 2)), sample(torch.ones(100, 2))
    GradientPenalty()(score, true, made)
    (x,) = seen
    assert x.shape == (100, 2)
    assert ((x > 0) & (x < 1)).all()
    assert torch.equal(x[:, 0], x[:, 1])
    assert len(x[:, 0].unique()) == 100


def test_a_penalty_reaches_the_critic_and_not_the_samples():
    network = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    made = torch.randn(3, 2, requires_grad=True)
    score = lambda s: network(s.parts[0])[:, 0]  # noqa: E731
    GradientPenalty()(score, sample(torch.randn(3, 2)), sample(made)).backward()
    assert made.grad is None
    assert network[0].weight.grad.abs().sum() > 0


def test_spectral_norm_divides_by_the_largest_singular_value():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 1))
    raw = network[0].weight.detach().clone()
    SpectralNorm().prepare(network)
    for _ in range(50):
        network(torch.randn(2, 5))
    assert torch.linalg.matrix_norm(network[0].weight, 2).item() == pytest.approx(1, abs=1e-3)
    assert_close(network[0].weight, raw / torch.linalg.matrix_norm(raw, 2), atol=1e-3, rtol=0)


def test_clipping_cuts_after_a_step():
    network = nn.Linear(10, 1)
    Clipping(0.05).after_step(network)
    assert network.weight.abs().max() <= 0.05


@pytest.mark.parametrize(
    "make", [lambda: GradientPenalty(0), lambda: R1(-1), lambda: R2(0), lambda: Clipping(0)]
)
def test_a_penalty_of_nothing_is_refused(make):
    with pytest.raises(ConfigurationError, match="above 0"):
        make()


def test_by_default_a_penalty_costs_nothing():
    class Idle(Penalty):
        pass

    assert Idle()(lambda s: s.parts[0], sample(), sample()) == 0
