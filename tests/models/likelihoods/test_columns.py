"""Rows of a table: a density for what is there, and none for what is missing."""

import torch
from torch.distributions import Categorical, Normal
from torch.testing import assert_close

from aelab.models.distributions import Columns
from aelab.models.networks.columns import one_hot

SIZES = [0, 3, 0]


def params():
    torch.manual_seed(0)
    return torch.randn(2, 5, 7)


def test_columns_are_gaussian_or_categorical():
    given, x = params(), torch.tensor([0.3, 2.0, -1.0]).expand(5, 3)
    first, names, last = given.split([2, 3, 2], -1)
    expected = [
        Normal(first[..., 0], (0.5 * first[..., 1]).exp()).log_prob(x[:, 0]),
        Categorical(logits=names).log_prob(x[:, 1].long()),
        Normal(last[..., 0], (0.5 * last[..., 1]).exp()).log_prob(x[:, 2]),
    ]
    assert_close(Columns(given, SIZES).each(x), torch.stack(expected, -1))
    assert_close(Columns(given, SIZES).log_prob(x), sum(expected))


def test_a_missing_cell_changes_no_density_and_no_gradient_but_its_own():
    given, x = params().requires_grad_(), torch.tensor([[0.3, 2.0, -1.0]] * 5)
    whole = Columns(given, SIZES).each(x)
    x[1, 1] = x[2, 0] = torch.nan
    holed = Columns(given, SIZES).each(x)
    assert (holed[:, 1, 1] == 0).all()
    assert torch.equal(holed[:, :, 2], whole[:, :, 2])
    holed.sum().backward()
    assert given.grad.isfinite().all()
    assert (given.grad[:, 1, 2:5] == 0).all()
    assert (given.grad[:, 2, :2] == 0).all()
    assert one_hot(x, SIZES).isfinite().all()


def test_samples_and_the_mode_are_of_each_column():
    given = params()
    p = Columns(given, SIZES)
    torch.manual_seed(0)
    drawn = p.sample((4000,))
    assert drawn.shape == (4000, 2, 5, 3)
    shares = torch.stack([(drawn[..., 1] == place).float().mean(0) for place in range(3)], -1)
    assert_close(shares, given[..., 2:5].softmax(-1), atol=0.04, rtol=0)
    assert_close(drawn[..., 0].mean(0), given[..., 0], atol=0.15, rtol=0)
    assert torch.equal(p.mode[..., 1], given[..., 2:5].argmax(-1).float())
