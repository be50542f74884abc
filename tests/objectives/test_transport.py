"""Costs of transport, against closed forms and the POT library."""

import ot
import pytest
import torch
from torch.testing import assert_close

from aelab.objectives.transport import Sinkhorn, SlicedWasserstein, sinkhorn_divergence, sliced_wasserstein


def draw(count, size, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_shift_is_a_squared_distance_shared_among_the_dimensions():
    torch.manual_seed(0)
    shift = torch.tensor([1.0, -2.0, 0.5, 0.0]).double()
    x = draw(20_000, 4) + shift
    found = sliced_wasserstein(x, draw(20_000, 4, 1), 500)
    assert found.item() == pytest.approx((shift.square().sum() / 4).item(), rel=0.05)


def test_one_dimension_is_that_of_sorted_values():
    x, y = draw(30, 1), draw(30, 1, 1)
    truth = (x.sort(0).values - y.sort(0).values).square().mean()
    assert_close(sliced_wasserstein(x, y, 3), truth)


def test_slices_are_those_of_a_second_library():
    x, y = draw(40, 3), draw(40, 3, 1)
    torch.manual_seed(0)
    found = sliced_wasserstein(x, y, 4000).sqrt().item()
    theirs = ot.sliced_wasserstein_distance(x.numpy(), y.numpy(), n_projections=4000, seed=0)
    assert found == pytest.approx(theirs, rel=0.02)


def test_with_little_entropy_it_is_the_cost_of_the_best_assignment():
    x, y = draw(30, 2), draw(30, 2, 1) + 1
    exact = ot.emd2([], [], ot.dist(x.numpy(), y.numpy()))
    assert sinkhorn_divergence(x, y, 0.002, 2000).item() == pytest.approx(exact, rel=0.02)


def test_the_gradient_of_a_shift_is_that_of_its_square():
    shift = torch.tensor([1.0, -2.0]).double().requires_grad_()
    y = draw(50, 2)
    found = sinkhorn_divergence(y + shift, y, 0.1, 300)
    assert_close(found, shift.detach().square().sum(), rtol=1e-4, atol=0)
    (gradient,) = torch.autograd.grad(found, shift)
    assert_close(gradient, 2 * shift.detach(), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("term", [SlicedWasserstein(), Sinkhorn()])
def test_equal_samples_cost_nothing(term):
    x = draw(30, 3)
    assert abs(term.cost(x, x.flip(0)).item()) < 1e-6
