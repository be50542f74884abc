"""The noise that a pass draws: recorded once, then drawn for each member from a seed of its own.

Under `vmap` all members would draw from one stream. So the draws of one member's pass are recorded in their
order, and each member's noise is drawn before the pass, which replays it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from aelab.training.vectorised.batching_rules import batched_call


@dataclass(frozen=True)
class NoiseDraw:
    """A draw of noise that depends on nothing but a shape."""

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


class DrawRecorder(TorchFunctionMode):
    """A context that records the `draws` made in it, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.draws: list[NoiseDraw] = []

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        value = function(*args, **(kwargs or {}))
        if function in FILLS:
            self.draws.append(NoiseDraw(FILLS[function], value.shape, value.dtype, value.device))
        return value


class DrawReplayer(TorchFunctionMode):
    """A context in which the draws of noise return `noise`, in order.

    Operations that `vmap` would take apart into many are computed by the rules of `batching_rules` meanwhile.
    """

    def __init__(self, noise: Sequence[Tensor]) -> None:
        super().__init__()
        self.noise: Iterator[Tensor] = iter(noise)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function in FILLS:
            return next(self.noise)
        rule = batched_call(function, args, kwargs or {})
        return function(*args, **(kwargs or {})) if rule is None else rule()
