"""A model computed with other tensors and numbers than its own, as a function of them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from aelab.training.measured import Measured

Entry = tuple[dict[str, Any], str]
"""An entry of a module's own dictionary: the dictionary and the name in it."""


def tensors_of(training: Measured) -> Iterator[tuple[Tensor, list[Entry]]]:
    """The parameters and buffers of model and objective, each once, with all entries that hold it."""
    found: dict[int, tuple[Tensor, list[Entry]]] = {}
    for module in modules_of(training):
        for home in (module._parameters, module._buffers):
            for name, tensor in home.items():
                if tensor is not None:
                    found.setdefault(id(tensor), (tensor, []))[1].append((home, name))
    yield from found.values()


def modules_of(training: Measured) -> Iterator[nn.Module]:
    """The modules of model and objective, in the same order for all trainings of one architecture."""
    yield from training.model.modules()
    yield from training.objective.modules()


@contextmanager
def replaced(values: Sequence[tuple[Entry, Any]]) -> Iterator[None]:
    """Give entries other values inside the context, past `nn.Module`'s own bookkeeping."""
    before = [home[name] for (home, name), _ in values]
    for (home, name), value in values:
        home[name] = value
    try:
        yield
    finally:
        for ((home, name), _), value in zip(values, before, strict=True):
            home[name] = value
