"""Operations that `vmap` would take apart into many, batched by rules of their own."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def batched_call(function: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Tensor] | None:
    """The call by its rule, or None where there is no rule for it."""
    if function is F.linear and not kwargs and len(args) == 3 and args[2] is not None and args[0].dim() == 2:
        return lambda: _Linear.apply(*args)
    if function is F.binary_cross_entropy_with_logits and kwargs["pos_weight"] is kwargs["weight"] is None:
        return lambda: _cross_entropy(args[0], args[1], kwargs["reduction"])
    return None


def _cross_entropy(logits: Tensor, target: Tensor, reduction: str) -> Tensor:
    each: Tensor = _CrossEntropy.apply(*torch.broadcast_tensors(logits, target))
    return each if reduction == "none" else each.sum() if reduction == "sum" else each.mean()


def _stacked(info: Any, in_dims: tuple[int | None, ...], values: tuple[Tensor, ...]) -> list[Tensor]:
    """Each with the members' dimension first."""
    return [
        value.expand(info.batch_size, *value.shape) if dim is None else value.movedim(dim, 0)
        for value, dim in zip(values, in_dims, strict=True)
    ]


class _Saved(Function):
    """Keeps its first two inputs, which is all that the gradients below need."""

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(*inputs[:2])


class _Linear(_Saved):
    """x (B, I), weight (O, I), bias (O,) -> (B, O)."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        return gradient @ weight, gradient.mT @ x, gradient.sum(0)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Tensor) -> tuple[Tensor, int]:
        return _Linears.apply(*_stacked(info, in_dims, values)), 0


class _Linears(_Saved):
    """The same for K members: x (K, B, I), weight (K, O, I), bias (K, O) -> (K, B, O)."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.baddbmm(bias[:, None], x, weight.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        # A product with few rows and many columns takes a quarter of the time of its transpose.
        wide = gradient.shape[2] > x.shape[2]
        slope = torch.bmm(x.mT, gradient).mT if wide else torch.bmm(gradient.mT, x)
        return torch.bmm(gradient, weight), slope, gradient.sum(1)


class _CrossEntropy(_Saved):
    """Elementwise, and so its own batched form; the target has no gradient."""

    @staticmethod
    def forward(logits: Tensor, target: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, target, reduction="none")

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, target = ctx.saved_tensors
        return gradient * (logits.sigmoid() - target), None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *values: Tensor) -> tuple[Tensor, int]:
        return _CrossEntropy.apply(*_stacked(info, in_dims, values)), 0
