"""Functions that a distribution calls after the pass that it comes from, in the modes of that pass."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")


def as_now(function: Callable[P, T], device: str, graph: bool = True) -> Callable[P, T]:
    """`function`, to be called later as if now: in this precision, and, where `graph`, with gradients or
    without as now; else as it is called."""
    gradients, (enabled, dtype) = torch.is_grad_enabled(), _precision(device)

    def later(*args: P.args, **kwargs: P.kwargs) -> T:
        wanted = gradients if graph else torch.is_grad_enabled()
        if torch.is_grad_enabled() == wanted and _precision(device) == (enabled, dtype):
            return function(*args, **kwargs)
        with torch.set_grad_enabled(wanted), torch.autocast(device, dtype, enabled=enabled):
            return function(*args, **kwargs)

    return later


def _precision(device: str) -> tuple[bool, torch.dtype]:
    return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
