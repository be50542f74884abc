"""The terms of the last steps, kept on the device until they are logged together.

A step costs a list append; reading the values back, which waits for a GPU, happens once for each window.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from aelab.core.errors import NonFiniteError


def means_over_samples(table: Tensor, sizes: Sequence[int]) -> Tensor:
    """The means (names,) over the samples of batches of these sizes, of their own means (batches, names)."""
    counts = torch.tensor(sizes, dtype=torch.float64)
    return (counts @ table) / counts.sum()


class Window:
    """Scalars by name for each batch since the last `flush`, and of how many samples each was the mean."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ()
        self.rows: list[Tensor] = []
        self.steps: list[int] = []
        self.sizes: list[int] = []
        self.samples = 0
        self.start_clock()

    def start_clock(self) -> None:
        """Begin to measure anew, after something that was not training."""
        self.samples, self.started = 0, time.perf_counter()

    def __len__(self) -> int:
        return len(self.steps)

    def append(self, values: Mapping[str, Tensor], step: int, samples: int) -> None:
        """Keep the scalars of a batch; step: the optimisation step it belongs to, counted from 1."""
        self.names = tuple(values)
        self.steps.append(step)
        self.sizes.append(samples)
        self.rows.extend(value.detach() for value in values.values())
        self.samples += samples

    def table(self) -> Tensor:
        """(batches, names), float64 on the CPU."""
        if not self.rows:
            return torch.zeros(0, len(self.names), dtype=torch.float64)
        rows = torch.stack([row.float() for row in self.rows])
        return rows.reshape(-1, len(self.names)).cpu().double()

    def check(self) -> Tensor:
        """The table, or NonFiniteError with the first step and the term that is NaN or infinite."""
        table = self.table()
        bad = (~table.isfinite()).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            name, value = self.names[column], table[row, column].item()
            raise NonFiniteError(
                f"the training diverged: {name} is {value} at step {self.steps[row]}; nothing "
                "of it was saved; try a lower optimizer.lr, or training.gradient_clip_val=1"
            )
        return table

    def flush(self, reduce: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """The means over samples by name, `reduce`d over the processes, which have equally many of them; the
        window is empty afterwards."""
        table = self.check()
        means = reduce(means_over_samples(table, self.sizes)).tolist()
        if not all(map(math.isfinite, means)):
            raise NonFiniteError(f"the training diverged in another process before step {self.steps[-1] + 1}")
        self.rows.clear()
        self.steps.clear()
        self.sizes.clear()
        return dict(zip(self.names, means, strict=True))

    def samples_per_second(self) -> float:
        """Since the clock was started, in this process."""
        rate = self.samples / max(1e-9, time.perf_counter() - self.started)
        self.start_clock()
        return rate

    def state_dict(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "steps": list(self.steps),
            "sizes": list(self.sizes),
            "table": self.table().float(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.names = tuple(state["names"])
        self.steps = list(state["steps"])
        self.sizes = list(state["sizes"])
        self.rows = list(state["table"].flatten())
