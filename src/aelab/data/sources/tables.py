"""The tables inside scikit-learn: real measurements that need no network."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from aelab.data.sources.arrays import rows
from aelab.data.splits import Observations, Splits, checksum, cut


class Table:
    """The rows of a table, with their classes as labels, in one order of the rows for good.

    They were published without a split, so one is fixed: it depends on no seed of a run.

    table: makes the numbers (N, D) and the classes (N,), asked for with `return_X_y`.
    test: how many rows, or which share of them in (0., 1.), are the test split.
    """

    def __init__(self, table: Callable[..., Any], test: int | float = 0.2) -> None:
        self.table, self.test = table, test

    def prepare(self) -> None:
        """Nothing to do: the tables are a part of scikit-learn."""

    def load(self) -> Splits:
        """Read both splits."""
        x, y = self.table(return_X_y=True)
        every = Observations(rows(x, "the table"), torch.from_numpy(y.astype(np.int64)))
        size = cut(self.test, len(every), "data.source.test", f"{len(every):,} rows")
        # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
        test, train = torch.from_numpy(np.random.RandomState(0).permutation(len(every))).tensor_split([size])
        checksums = {
            "x": checksum(np.ascontiguousarray(x, dtype="<f8").tobytes()),
            "y": checksum(y.astype("<i8").tobytes()),
        }
        return Splits(every.take(train), every.take(test), checksums)
