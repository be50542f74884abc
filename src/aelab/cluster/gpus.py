"""The GPUs of a machine as a pool from which each trial of a sweep takes its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from aelab.core.errors import ConfigurationError

VISIBLE = "CUDA_VISIBLE_DEVICES"


@dataclass
class GpuPool:
    """The GPUs of a machine, each used by one trial at a time.

    names: as CUDA knows them.  each: how many a trial needs.
    """

    names: Sequence[str]
    each: int
    _held: dict[int, list[str]] = field(default_factory=dict)

    def acquire(self, key: int) -> list[str]:
        """The GPUs of the trial `key` until it releases them; IndexError where too few are left."""
        taken = {name for names in self._held.values() for name in names}
        left = [name for name in self.names if name not in taken]
        if len(left) < self.each:
            raise IndexError(f"{self.each} GPUs are needed and {len(left)} are left")
        self._held[key] = left[: self.each]
        return self._held[key]

    def release(self, key: int) -> None:
        """Return the GPUs of the trial `key`, which has ended."""
        self._held.pop(key, None)


def visible_gpus(count: int, given: Mapping[str, str] = os.environ) -> list[str]:
    """The names of the `count` GPUs that this process may use."""
    return given[VISIBLE].split(",")[:count] if VISIBLE in given else [str(index) for index in range(count)]


def gpu_pool(workers: int, each: int) -> GpuPool:
    """The pool of this machine's GPUs, counted without initialising CUDA, which no fork survives.

    Raises ConfigurationError where trials that run at once need more than there are.
    """
    names = visible_gpus(torch.cuda.device_count())
    if workers * each > len(names):
        raise ConfigurationError(
            f"sweep.workers={workers} trials at once on {each} GPUs each are {workers * each}, and this "
            f"machine shows {len(names)}: choose sweep.workers={max(1, len(names) // each)} at most"
        )
    return GpuPool(names, each)
