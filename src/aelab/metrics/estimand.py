"""The base of the estimands: sums over held-out observations."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from aelab.core.quantity import Quantity


class Estimand(Metric):
    """A metric of a `Trace`, kept as float64 sums over observations.

    quantities: what it may give.
    """

    full_state_update = False
    count: Tensor

    def __init__(self, quantities: Sequence[Quantity], **sums: tuple[int, ...]) -> None:
        super().__init__()
        self.quantities = tuple(quantities)
        for name, shape in {"count": (), **sums}.items():
            self.add_state(name, torch.zeros(shape, dtype=torch.float64), dist_reduce_fx="sum")

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> nn.Module:
        """Move with the model, but stay in float64 whatever it is cast to."""
        return super()._apply(lambda sums: sums.to(fn(sums).device), *args, **kwargs)

    def set_dtype(self, dst_type: Any) -> "Estimand":
        return self
