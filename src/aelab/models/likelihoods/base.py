"""What every likelihood is, and how one is computed later in the modes of the pass."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

Shape = tuple[int, ...]
P = ParamSpec("P")
T = TypeVar("T")


class Likelihood(nn.Module, ABC):
    """forward: params (S, B, parameters, *rest) -> p(x|z,c) with batch shape (S, B) and event (C, *rest).

    Parameters are cast to float32, so that mixed precision never meets a log-density in half precision. What
    reads networks of its own in `log_prob`, as an autoregressive density does, asks them through `as_now`.

    The mean of what it gives is shown as the reconstruction, and errors are measured of it. Where it has no
    closed form, as where positions follow one another, it is that of a walk: each the mean given the means
    before it.

    drawn: whether samples of the model are draws of p(x|z,c) and not its means, as where codes say little.
    binary: whether it is of zeros and ones alone.
    """

    drawn = False
    binary = False

    def parameters_of(self, shape: Shape) -> Shape:
        """The shape of what the decoder gives for an observation of a shape, as (C, H, W) or (D,)."""
        return shape

    @abstractmethod
    def forward(self, params: Tensor) -> Distribution: ...


def as_now(function: Callable[P, T], device: str) -> Callable[P, T]:
    """`function`, to be called later as if now: in this precision, and with gradients or without as now."""
    then = graph, autocast, dtype = _modes(device)

    def later(*args: P.args, **kwargs: P.kwargs) -> T:
        if _modes(device) == then:
            return function(*args, **kwargs)
        with torch.set_grad_enabled(graph), torch.autocast(device, dtype, enabled=autocast):
            return function(*args, **kwargs)

    return later


def _modes(device: str) -> tuple[bool, bool, torch.dtype]:
    return torch.is_grad_enabled(), torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
