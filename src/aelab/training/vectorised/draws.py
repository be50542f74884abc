"""The noise that a pass draws: written down once, then drawn for each member from a seed of its own.

Under `vmap` all members would draw from one stream. So a pass of one member tells what is drawn, in which
order, and each member's draws are made ahead of the pass and handed to it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from aelab.training.vectorised.rules import ruled


@dataclass(frozen=True)
class Draw:
    """One call for noise that depends on nothing but a shape."""

    fill: Callable[[Tensor], Tensor]
    shape: torch.Size
    dtype: torch.dtype
    device: torch.device

    def __call__(self) -> Tensor:
        """The next noise of the default generator."""
        return self.fill(torch.empty(self.shape, dtype=self.dtype, device=self.device))


FILLS: dict[Callable[..., Any], Callable[[Tensor], Tensor]] = {
    torch.randn: Tensor.normal_,
    torch.randn_like: Tensor.normal_,
    torch.rand: Tensor.uniform_,
    torch.rand_like: Tensor.uniform_,
    Tensor.exponential_: Tensor.exponential_,
}


class Recorded(TorchFunctionMode):
    """A context that writes down the `draws` made in it."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[Draw] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        value = function(*args, **(kwargs or {}))
        if function in FILLS:
            self.draws.append(Draw(FILLS[function], value.shape, value.dtype, value.device))
        return value


class Replayed(TorchFunctionMode):
    """A context in which the calls for noise are answered by `noise`, in order.

    What `vmap` knows no batched kernel for, and would take apart into many, goes by its own rule meanwhile.
    """

    def __init__(self, noise: Sequence[Tensor]) -> None:
        super().__init__()
        self.noise: Iterator[Tensor] = iter(noise)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FILLS:
            return next(self.noise)
        rule = ruled(function, args, kwargs or {})
        return function(*args, **(kwargs or {})) if rule is None else rule()
