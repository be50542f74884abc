"""The machine's memory, and what is refused before it is asked for."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from aelab.core.errors import ConfigurationError, lacks_memory

MOST_CALLS = 50_000  # of torch, to build a model


def memory() -> int:
    """The bytes of memory that the machine has; where it does not say, all that a process can address."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


class BoundedMemory(TorchFunctionMode):
    """A context in which tensors are not made that the machine's memory cannot hold, each and together.

    Those are counted that are made from sizes, as parameters and noise are.

    calls: how many of torch there may be.
    """

    def __init__(self, calls: float = MOST_CALLS) -> None:
        super().__init__()
        self._made, self._calls, self._most, self._longest = 0, 0, memory(), calls

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._calls += 1
        self._made += _bytes(func, args, kwargs)
        if self._made > 2 * self._most or self._calls > self._longest:
            raise ConfigurationError(
                f"the sizes of the model ask for {self._made / 1e9:,.0f} GB of memory in {self._calls:,} "
                f"steps, and this machine has {self._most / 1e9:,.0f} GB: choose smaller ones, as latent=16"
            )
        return func(*args, **kwargs)


WIDEST = 8  # bytes of a number
MAKERS = {
    "empty",
    "zeros",
    "ones",
    "full",
    "rand",
    "randn",
    "randint",
    "eye",
    "arange",
    "linspace",
    "randperm",
}


def _bytes(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """The size of what a call makes from sizes that it is given; 0 for one that makes it of other tensors."""
    name = getattr(func, "__name__", "")
    if name.removeprefix("new_") not in MAKERS:
        return 0
    given = [*(args[1:] if name.startswith("new_") else args), *filter(None, [kwargs.get("size")])]
    shape = next((value for value in given if isinstance(value, Sequence)), given)
    sizes = [value for value in shape if isinstance(value, int)]
    sizes += sizes if name == "eye" and len(sizes) == 1 else []
    kind = kwargs.get("dtype") or torch.get_default_dtype()
    return math.prod(sizes) * getattr(kind, "itemsize", WIDEST)  # a type of Python's own says no size


@contextmanager
def enough_memory(calls: float = MOST_CALLS) -> Iterator[None]:
    """A context in which what asks for more memory than there is raises ConfigurationError, in a sentence.

    Before it is asked for, where sizes say so: a machine may grant it, and end the process when it is used.
    calls: how many of torch there may be.
    """
    try:
        with BoundedMemory(calls):
            yield
    except (MemoryError, RuntimeError) as error:
        if (why := lacks_memory(error)) is None:
            raise
        raise ConfigurationError(why) from error
