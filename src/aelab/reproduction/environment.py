"""The machine that a recorded training needs."""

from collections.abc import Mapping
from typing import Any

import torch
from omegaconf import DictConfig

from aelab.core.errors import RunError


def check_machine(settings: DictConfig, recorded: Mapping[str, Any]) -> None:
    """RunError where a run needs accelerators or machines that are not at hand.

    recorded: the hardware of its record.
    """
    trainer = settings.get("trainer") or {}
    had = recorded.get("gpus") or []
    if trainer.get("num_nodes", 1) != 1:
        raise RunError("the run was trained on several machines: reproduce it by hand on as many")
    asked = trainer.get("accelerator", "auto")
    if asked == "cpu" or (asked == "auto" and not had):
        return
    if not torch.accelerator.is_available():
        raise RunError(
            f"the run was trained on {_named(had)} (trainer.accelerator={asked}), and torch finds no "
            "accelerator here: reproduce it on a machine that has one"
        )
    needed, found = _count(trainer.get("devices", "auto"), len(had)), torch.accelerator.device_count()
    if needed > found:
        raise RunError(
            f"the run was trained on {needed} devices and this machine has {found}: reproduce it on one "
            "that has as many"
        )


def _named(gpus: Any) -> str:
    return ", ".join(map(str, gpus)) if gpus else "an accelerator"


def _count(devices: Any, all_of_them: int) -> int:
    if isinstance(devices, int) and devices > 0:
        return devices
    return len(devices) if not isinstance(devices, int | str) else all_of_them
