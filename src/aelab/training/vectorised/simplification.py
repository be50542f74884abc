"""A traced pass without the operations that change nothing: in a small model, half of them."""

from typing import Any

import torch
from torch import fx

ATEN = torch.ops.aten
RESHAPES = (ATEN.view.default, ATEN._unsafe_view.default, ATEN.unsqueeze.default)


def simplified(traced: fx.GraphModule) -> fx.GraphModule:
    """The same function without idle operations, double reshapes and computations from constants."""
    for node in traced.graph.nodes:
        if node.op != "call_function":
            continue
        if _is_idle(node):
            node.replace_all_uses_with(node.args[0])
        elif _reshapes_twice(node):
            node.target, node.args = ATEN.view.default, (node.args[0].args[0], list(_value(node).shape))
    _fold(traced)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _value(node: Any) -> torch.Tensor:
    return node.meta["val"]


def _is_idle(node: fx.Node) -> bool:
    """Whether an operation returns its input unchanged."""
    if node.target is ATEN.detach.default:
        return True
    if node.target is ATEN.mul.Scalar:  # of a bias, by the 1 that `addmm` is defined with
        return bool(node.args[1] == 1)
    if node.target is ATEN.permute.default:
        order: Any = node.args[1]
        return list(order) == sorted(order)
    reshapes = node.target in (*RESHAPES, ATEN.expand.default, ATEN.slice.Tensor)
    return reshapes and _value(node).shape == _value(node.args[0]).shape


def _reshapes_twice(node: fx.Node) -> bool:
    before: Any = node.args[0] if node.target in RESHAPES else None
    if not isinstance(before, fx.Node) or before.target not in RESHAPES:
        return False
    try:
        _value(before.args[0]).view(_value(node).shape)
    except RuntimeError:  # its memory is not laid out for that
        return False
    return True


def _fold(traced: fx.GraphModule) -> None:
    """Compute once what depends on no input, unless an operation writes in place, which could change it."""
    called = [node for node in traced.graph.nodes if isinstance(node.target, torch._ops.OpOverload)]
    if any(node.target._schema.is_mutable for node in called):
        return
    for node in called:
        if node.all_input_nodes or torch.Tag.nondeterministic_seeded in node.target.tags:
            continue
        traced.register_buffer(node.name, node.target(*node.args, **node.kwargs))
        with traced.graph.inserting_before(node):
            node.replace_all_uses_with(traced.graph.get_attr(node.name))
