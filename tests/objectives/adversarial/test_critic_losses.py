"""Losses at their optimum, whose value is known, and whose cost moves whom."""

import math

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from aelab.core.errors import ConfigurationError
from aelab.objectives.adversarial.losses import (
    DensityRatio,
    Equilibrium,
    Hinge,
    LeastSquares,
    NonSaturating,
    Wasserstein,
)

LOSSES = [NonSaturating(), DensityRatio(), LeastSquares(), Hinge(), Wasserstein(), Equilibrium()]


@pytest.mark.parametrize(
    ("loss", "score", "value"),
    [
        (NonSaturating(), 0.0, 2 * math.log(2)),
        (DensityRatio(), 0.0, 2 * math.log(2)),
        (LeastSquares(), 0.5, 0.5),
        (Hinge(), 0.0, 2.0),
        (Wasserstein(), 0.0, 0.0),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_best_critic_of_equal_sides_has_the_known_loss(loss, score, value):
    """By descent on the score of one point that both sides hold, from far away."""
    scores = tensor([2.0], requires_grad=True)
    if isinstance(loss, Wasserstein):
        assert loss.critic(scores, scores) == value
        return
    optimizer = torch.optim.SGD([scores], 0.1)
    for _ in range(300):
        optimizer.zero_grad()
        found = loss.critic(scores, scores)
        found.backward()
        optimizer.step()
    assert found.item() == pytest.approx(value, abs=1e-4)
    if not isinstance(loss, Hinge):  # any score within the margins is as good
        assert scores.item() == pytest.approx(score, abs=1e-3)
        if isinstance(loss, NonSaturating):
            assert scores.sigmoid().item() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("mean", [0.5, 1.5])
def test_the_best_logit_of_two_gaussians_is_linear_and_its_mean_their_divergence(mean):
    torch.manual_seed(0)
    true, made = torch.randn(20_000, 1).double(), mean + torch.randn(20_000, 1).double()
    line = torch.nn.Linear(1, 1).double()
    loss, optimizer = DensityRatio(), torch.optim.LBFGS(line.parameters(), max_iter=50)

    def cost():
        optimizer.zero_grad()
        found = loss.critic(line(true), line(made))
        found.backward()
        return found

    optimizer.step(cost)
    # The score is high where true, so that it is minus the logit mu x - mu^2 / 2 of what is made.
    assert_close(-line.weight.squeeze(), tensor(mean).double(), atol=0.05, rtol=0)
    assert_close(-line.bias.squeeze(), tensor(-(mean**2) / 2).double(), atol=0.06, rtol=0)
    found = loss.toward_true(line(made)).mean().item()
    assert found == pytest.approx(mean**2 / 2, abs=0.06)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
def test_a_critic_raises_the_true_scores_and_the_model_its_own(loss):
    if isinstance(loss, Equilibrium):
        loss.k.fill_(0.5)
    # Scores of an undecided critic, where no margin holds.
    true, made = (torch.full((3,), 0.3, requires_grad=True) for _ in range(2))
    loss.critic(true, made).backward()
    assert (true.grad < 0).all()
    assert (made.grad > 0).all()
    for cost, sign in ((loss.toward_true, -1), (loss.toward_made, 1)):
        scores = torch.full((3,), 0.3, requires_grad=True)
        cost(scores).sum().backward()
        assert (sign * scores.grad > 0).all()


def test_the_balance_stays_between_0_and_1_and_finds_the_ratio():
    loss = Equilibrium(ratio=0.5, rate=0.1)
    for error, made in [(1.0, 0.0)] * 50 + [(0.0, 1.0)] * 50:
        loss.after_step(-tensor([error]), -tensor([made]))
        assert 0 <= loss.k <= 1
    loss.k.fill_(0.3)
    loss.after_step(-tensor([1.0]), -tensor([0.5]))  # at the ratio k stands still
    assert loss.k == tensor(0.3)
    loss.after_step(-tensor([1.0]), -tensor([0.1]))
    assert_close(loss.k, tensor(0.3 + 0.1 * (0.5 - 0.1)))


@pytest.mark.parametrize("option", [{"ratio": 2}, {"ratio": -1}, {"rate": 0}])
def test_a_balance_that_cannot_be_is_refused(option):
    with pytest.raises(ConfigurationError, match="choose a ratio"):
        Equilibrium(**option)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda value: type(value).__name__)
def test_equal_sides_give_the_critic_no_advantage(loss):
    scores = torch.linspace(-2, 2, 9)
    assert loss.advantage(scores, scores) == 0


@pytest.mark.parametrize(
    ("loss", "true", "made", "ratio"),
    [
        (NonSaturating(), 3.0, -3.0, 3 / (2 * math.log1p(math.exp(-3)))),
        (DensityRatio(), 3.0, -3.0, 6 / (2 * math.log1p(math.exp(-3)))),
        (LeastSquares(), 0.9, 0.1, (0.81 - 0.01) / 0.02),
        (Hinge(), 1.0, -1.0, math.inf),
        (Wasserstein(), 40.0, 10.0, 1.0),  # wherever its scores lie: it has no best critic to win by
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_advantage_of_a_winning_critic_is_the_ratio_of_what_the_two_pay(loss, true, made, ratio):
    share = 1.0 if ratio == math.inf else ratio / (1 + ratio)
    assert loss.advantage(tensor([true]), tensor([made])).item() == pytest.approx(share, rel=1e-5)
