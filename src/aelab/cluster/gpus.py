"""GPUs dealt out to trials, each to one trial at a time."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from aelab.core.errors import ConfigurationError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class Gpus:
    """A machine's GPUs by the names that CUDA knows, `each` of them for a trial."""

    names: Sequence[str]
    each: int
    _held: dict[int, list[str]] = field(default_factory=dict)

    def take(self, key: int) -> list[str]:
        """What the trial `key` computes on until it is given back; IndexError where too few are left."""
        taken = {name for names in self._held.values() for name in names}
        left = [name for name in self.names if name not in taken]
        if len(left) < self.each:
            raise IndexError(f"{self.each} GPUs are needed and {len(left)} are left")
        self._held[key] = left[: self.each]
        return self._held[key]

    def give_back(self, key: int) -> None:
        """The trial `key` has ended."""
        self._held.pop(key, None)


def visible(count: int, given: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the `count` GPUs that this process may use."""
    return given[VISIBLE].split(",")[:count] if VISIBLE in given else [str(index) for index in range(count)]


def gpus_for(workers: int, each: int) -> Gpus:
    """This machine's GPUs, counted without initialising CUDA, which no fork survives.

    Raises ConfigurationError where trials that run at once need more than there are.
    """
    names = visible(torch.cuda.device_count())
    if workers * each > len(names):
        raise ConfigurationError(
            f"sweep.workers={workers} trials at once on {each} GPUs each are {workers * each}, and this "
            f"machine shows {len(names)}: choose sweep.workers={max(1, len(names) // each)} at most"
        )
    return Gpus(names, each)
