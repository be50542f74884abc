"""Where mixed precision is off."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch


def in_float32(device: torch.device) -> AbstractContextManager[Any]:
    """Where mixed precision is off on a device: for densities, which half precision is too coarse for."""
    kind = device.type
    return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()
