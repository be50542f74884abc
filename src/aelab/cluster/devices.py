"""The devices that a training asks for, checked against the machine's before a folder exists."""

from typing import Any

import torch
from omegaconf import DictConfig, ListConfig

from aelab.core.errors import ConfigurationError

ALL = ("auto", "-1")


def processes(chosen: DictConfig) -> int:
    """The number of devices on each node, and so of processes there, for the configuration's node `trainer`.

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


def world_size(chosen: DictConfig) -> int:
    """The number of processes on all nodes; raises as `processes`."""
    return processes(chosen) * int(chosen.num_nodes)


def check_accelerator(chosen: DictConfig) -> None:
    """Raise ConfigurationError where a training needs a GPU, of CUDA or of Apple's, and there is none."""
    there = torch.cuda.device_count() or torch.backends.mps.is_available()
    if chosen.accelerator in ("gpu", "cuda") and not there:
        raise ConfigurationError(
            f"trainer.accelerator={chosen.accelerator}, and torch finds no GPU on this machine: choose "
            "trainer=cpu"
        )


def uses_gpus(chosen: DictConfig) -> bool:
    """Whether a training computes on CUDA devices; other accelerators have one device and are not counted."""
    asked = chosen.accelerator in ("gpu", "cuda", "auto")
    return bool(asked and torch.cuda.device_count())


def _count(asked: Any) -> int:
    try:
        named = _read(asked)
    except ValueError:
        named = []
    indices = named if isinstance(named, list) else range(named)
    if not indices or min(indices) < 0 or len(set(indices)) < len(indices):
        raise ConfigurationError(
            f"trainer.devices={asked}: give how many, from 1, or auto for all, or a list of GPUs as [0,1]"
        )
    return len(indices)


def _read(asked: Any) -> int | list[int]:
    """How many devices, or which, as Lightning reads it: "2" are two devices, and "2," is the third."""
    if isinstance(asked, str):
        names = asked.split(",")
        return int(asked) if len(names) == 1 else [int(name) for name in names if name]
    if isinstance(asked, int) and not isinstance(asked, bool):
        return asked
    return [int(index) for index in asked] if isinstance(asked, list | ListConfig) else []


def _check_nodes(nodes: Any) -> None:
    if not isinstance(nodes, int) or isinstance(nodes, bool) or nodes < 1:
        raise ConfigurationError(f"trainer.num_nodes={nodes} must be a whole number from 1")


def device_of(asked: str | None) -> torch.device:
    """The device of a name; None: an accelerator where there is one. ConfigurationError for one not here."""
    at_hand = ["cpu", *_accelerators()]
    device = at_hand[-1].partition(":")[0] if asked is None else str(asked)
    if device not in {*at_hand, *(name.partition(":")[0] for name in at_hand)}:
        raise ConfigurationError(f"device={device} is not at hand: choose {' or '.join(at_hand)}")
    return torch.device(device)


def _accelerators() -> list[str]:
    kind = torch.accelerator.current_accelerator()
    return [] if kind is None else [f"{kind.type}:{i}" for i in range(torch.accelerator.device_count())]
