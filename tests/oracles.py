"""What several tests compare with: means with their standard errors, Jacobians, fixed heads."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
from torch import Tensor, nn
from torch.types import Number


def undecoded() -> NoReturn:
    """The `decode` of a trace whose likelihood nobody may read."""
    raise AssertionError("the likelihood was read")


def assert_mean(samples: Tensor, truth: Tensor | Number) -> None:
    """The mean over the first dimension is the truth, up to five standard errors."""
    assert samples.isfinite().all()
    error = samples.std(0) / len(samples) ** 0.5
    assert (samples.mean(0) - truth).abs().le(5 * error + 1e-6).all()


def jacobian(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """d function / dz at each row of z (N, d): (N, d, d). Rows must not depend on one another."""
    rows = torch.autograd.functional.jacobian(lambda z: function(z).sum(0), z, vectorize=True)
    return rows.movedim(1, 0)


def fix(linear: nn.Linear, values: Tensor | Sequence[float] | float) -> None:
    """Make a linear layer give `values` whatever its input."""
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.as_tensor(values))
