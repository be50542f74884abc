"""Counts: scipy's probabilities, and what one distribution of them becomes at the ends of another."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.testing import assert_close

from aelab.models.distributions import NegativeBinomial, Poisson, ZeroInflated

X = torch.arange(0, 40.0).double()


def of(mean, theta):
    return [torch.full_like(X, value).log() for value in (mean, theta)]


@pytest.mark.parametrize(("mean", "theta"), [(0.3, 2.0), (7.0, 0.1), (12.0, 50.0), (300.0, 1e-3)])
def test_probabilities_are_scipys(mean, theta):
    ours = NegativeBinomial(*of(mean, theta))
    theirs = stats.nbinom(theta, theta / (theta + mean))
    assert_close(ours.each(X).numpy(), theirs.logpmf(X.numpy()), rtol=1e-8, atol=1e-8)
    poisson = Poisson(torch.full_like(X, mean).log()).each(X)
    assert_close(poisson.numpy(), stats.poisson(mean).logpmf(X.numpy()), rtol=1e-9, atol=1e-9)


def test_a_large_theta_is_a_poisson_variable_also_in_float32():
    mean, theta = (value.float() for value in of(5.0, 1e5))
    assert_close(
        NegativeBinomial(mean, theta).each(X.float()), Poisson(mean).each(X.float()), rtol=2e-3, atol=1e-4
    )


def test_without_inflation_nothing_is_inflated_and_else_zeros_are_more():
    base = NegativeBinomial(*of(4.0, 2.0))
    assert_close(ZeroInflated(base, torch.full_like(X, -60.0)).each(X), base.each(X))
    inflated = ZeroInflated(base, torch.full_like(X, np.log(0.25 / 0.75)))
    assert_close(inflated.each(X).exp()[0], 0.25 + 0.75 * base.each(X).exp()[0])
    assert_close(inflated.each(X)[1:], base.each(X)[1:] + np.log(0.75))
    assert_close(inflated.mean, 0.75 * base.mean)


@pytest.mark.parametrize("inflated", [False, True])
def test_samples_have_the_moments(inflated):
    torch.manual_seed(0)
    base = NegativeBinomial(*(part.float() for part in of(4.0, 2.0)))
    p = ZeroInflated(base, torch.zeros(40)) if inflated else base
    drawn = p.sample((20_000,)).double()
    share = 0.5 if inflated else 1.0
    assert drawn.mean() == pytest.approx(4 * share, rel=0.01)
    second = share * (4 + 16 / 2 + 16)
    assert drawn.square().mean() == pytest.approx(second, rel=0.02)
