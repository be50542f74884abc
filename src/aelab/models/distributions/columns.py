"""The rows of a table, whose columns are numbers or categories, and of which some cells may be missing."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from aelab.core.errors import InapplicableError
from aelab.models.distributions.base import ONE, Factorised, Shape
from aelab.models.distributions.gaussian import bounded


class Columns(Factorised):
    """Independent columns: of numbers Gaussian, of categories, which are their places, categorical. A missing
    cell, NaN, has no density.

    params: (*batch, sum of sizes), of each column in turn: a mean and a log-variance, or the logits of its
        categories. sizes: how many categories each column has, 0 for numbers.

    >>> row = torch.tensor([[0.0, 1.0], [torch.nan, 1.0]])
    >>> Columns(torch.zeros(2, 4), [0, 2]).each(row).exp()
    tensor([[0.3989, 0.5000],
            [1.0000, 0.5000]])
    """

    support = constraints.real

    def __init__(self, params: Tensor, sizes: Sequence[int]) -> None:
        self.sizes = list(sizes)
        self.parts = params.split([size or 2 for size in sizes], -1)
        super().__init__(torch.stack([part[..., 0] for part in self.parts], -1), 1)

    def each(self, value: Tensor) -> Tensor:
        known = ~value.isnan()
        filled = value.nan_to_num().expand(*self.batch_shape, len(self.sizes))
        found = torch.stack(
            [_log_prob(*one) for one in zip(self.parts, self.sizes, filled.unbind(-1), strict=True)], -1
        )
        return found * known

    @property
    def mode(self) -> Tensor:
        """The mean of each number and the likeliest category: (*batch, columns)."""
        each = zip(self.parts, self.sizes, strict=True)
        return torch.stack(
            [part.argmax(-1).to(part.dtype) if size else part[..., 0] for part, size in each], -1
        )

    @property
    def mean(self) -> Tensor:
        raise InapplicableError(
            "categories are names and no amounts: there is no mean of rows that hold some"
        )

    def sample(self, sample_shape: Shape = ONE) -> Tensor:
        with torch.no_grad():
            each = zip(self.parts, self.sizes, strict=True)
            drawn = [_draw(part.expand(*sample_shape, *part.shape), size) for part, size in each]
            return torch.stack(drawn, -1)


def _log_prob(part: Tensor, size: int, value: Tensor) -> Tensor:
    if size:
        return part.log_softmax(-1).gather(-1, value.long()[..., None])[..., 0]
    log_variance = bounded(part[..., 1])
    return -0.5 * (
        (value - part[..., 0]).square() * (-log_variance).exp() + log_variance + 1.8378770664093453
    )


def _draw(part: Tensor, size: int) -> Tensor:
    if size:
        return (part - torch.empty_like(part).exponential_().log()).argmax(-1).to(part.dtype)
    return part[..., 0] + (0.5 * bounded(part[..., 1])).exp() * torch.randn_like(part[..., 0])


def one_hot(value: Tensor, sizes: Sequence[int]) -> Tensor:
    """Rows (B, columns) as numbers for a network: of each column its number, 0 where it is missing, and
    whether it is; or which category it is, none where it is missing: (B, sum of sizes).

    >>> one_hot(torch.tensor([[3.0, 1.0], [torch.nan, torch.nan]]), [0, 2])
    tensor([[3., 0., 0., 1.],
            [0., 1., 0., 0.]])
    """
    made = []
    for column, size in zip(value.unbind(-1), sizes, strict=True):
        missing, filled = column.isnan(), column.nan_to_num()
        if size:
            made.append(F.one_hot(filled.long().clamp(0, size - 1), size) * ~missing[..., None])
        else:
            made.append(torch.stack([filled, missing.to(filled.dtype)], -1))
    return torch.cat(made, -1).to(value.dtype)
