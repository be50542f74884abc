"""How many devices a training asks for, against what the machine has: refused before a folder exists."""

from typing import Any

import torch
from omegaconf import DictConfig

from aelab.errors import ConfigurationError

ALL = ("auto", "-1")


def processes(chosen: DictConfig) -> int:
    """Devices on each node, and so processes, of a node `trainer`.

    Counts GPUs without initialising CUDA, so that a process forked later may choose among them.

    Raises ConfigurationError for a number that no machine has, and for more GPUs than this one has.
    """
    _check_nodes(chosen.num_nodes)
    on_gpus, asked = uses_gpus(chosen), chosen.devices
    there = torch.cuda.device_count() if on_gpus else None
    if str(asked) in ALL:
        return there or 1
    count = _count(asked)
    if there and count > there:
        raise ConfigurationError(
            f"trainer.devices={asked} asks for {count} GPUs and this machine shows {there}: choose "
            f"trainer.devices={there}, or more machines by trainer.num_nodes"
        )
    return count


def uses_gpus(chosen: DictConfig) -> bool:
    """Whether a training computes on CUDA devices; other accelerators have one device and are not counted."""
    asked = chosen.accelerator in ("gpu", "cuda", "auto")
    return bool(asked and torch.cuda.device_count())


def _count(asked: Any) -> int:
    if isinstance(asked, int) and not isinstance(asked, bool) and asked >= 1:
        return asked
    names = asked.split(",") if isinstance(asked, str) else asked
    try:
        indices = [int(name) for name in names]
    except (TypeError, ValueError):
        indices = []
    if isinstance(asked, str) and len(indices) == 1 and indices[0] >= 1:
        return indices[0]  # as Lightning reads it: "2" are two devices, "2," is the third
    if not indices or min(indices) < 0 or len(set(indices)) < len(indices):
        raise ConfigurationError(
            f"trainer.devices={asked}: give how many, from 1, or auto for all, or a list of GPUs as [0,1]"
        )
    return len(indices)


def _check_nodes(nodes: Any) -> None:
    if not isinstance(nodes, int) or isinstance(nodes, bool) or nodes < 1:
        raise ConfigurationError(f"trainer.num_nodes={nodes} must be a whole number from 1")
