"""The noise that a pass draws: written down once, then drawn for each member from a seed of its own.

Under `vmap` all members would draw from one stream. So a pass of one member tells what is drawn, in which
order, and each member's draws are made ahead of the pass and handed to it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode


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
        if (
            function is F.binary_cross_entropy_with_logits
            and kwargs["pos_weight"] is kwargs["weight"] is None
        ):
            return _cross_entropy(args[0], args[1], kwargs["reduction"])
        return function(*args, **(kwargs or {}))


def _cross_entropy(logits: Tensor, target: Tensor, reduction: str) -> Tensor:
    each: Tensor = _CrossEntropy.apply(*torch.broadcast_tensors(logits, target))
    return each if reduction == "none" else each.sum() if reduction == "sum" else each.mean()


class _CrossEntropy(torch.autograd.Function):
    """Elementwise, and so its own batched form; the target has no gradient."""

    @staticmethod
    def forward(logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, target = ctx.saved_tensors
        return gradient * (logits.sigmoid() - target), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Tensor) -> tuple[Tensor, int]:
        stacked = [
            value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
            for value, dim in zip(values, in_dims, strict=True)
        ]
        return _CrossEntropy.apply(*stacked), 0
