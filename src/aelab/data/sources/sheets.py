"""A user's own table, and the tables inside scikit-learn with their classes as a column."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.data.columns import Column, Sheet, columns_of, numbers_of, sheet
from aelab.data.splits import Observations, Splits, checksum, cut


class Rows:
    """The rows of a table in one file, .csv or .parquet, in one order of the rows for good.

    columns: what is read of it, as `data.kind.columns`. label: the column of classes, which is none of these,
    and `names` what it may hold; a missing one is unknown. test: how many rows, or which share in (0., 1.),
    are the test split. delimiter: as of `data.columns.sheet`. categorical, drop: what `data.survey` reads.
    """

    def __init__(
        self,
        root: str | Path,
        columns: Sequence[Mapping[str, Any]],
        test: int | float = 0.2,
        delimiter: str | None = None,
        categorical: Sequence[str] = (),
        drop: Sequence[str] = (),
        label: str | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        self.root, self.columns, self.test, self.delimiter = root, columns_of(columns), test, delimiter
        self.label = None if label is None else Column(label, tuple(names or ()))

    def prepare(self) -> None:
        """DataError where there is no table."""
        self._sheet()

    def load(self) -> Splits:
        """Read both splits."""
        found = self._sheet()
        rows = torch.tensor(numbers_of(found, self.columns), dtype=torch.float32)
        if self.label is None:
            return dealt(rows, self.test)
        labels = torch.tensor(numbers_of(found, [self.label]))[:, 0].nan_to_num(-1).long()
        return dealt(rows, self.test, labels)

    def _sheet(self) -> Sheet:
        return sheet(self.root, self.delimiter)


class Published:
    """A table of scikit-learn, whose classes are its last column.

    columns: as `data.kind.columns`. table: makes it. test: as of `Rows`.
    """

    def __init__(
        self, columns: Sequence[Mapping[str, Any]], table: Callable[..., Any], test: int | float = 0.2
    ) -> None:
        self.columns, self.table, self.test = columns_of(columns), table, test

    def prepare(self) -> None:
        """Nothing to do: the tables are a part of scikit-learn."""

    def load(self) -> Splits:
        """Read both splits."""
        return dealt(
            torch.tensor(numbers_of(published(self.table), self.columns), dtype=torch.float32), self.test
        )


def published(table: Callable[..., Any]) -> Sheet:
    """A table of scikit-learn as cells, the names of its classes in a last column, `class`."""
    found = table()
    cells = {
        str(name): column.tolist() for name, column in zip(found.feature_names, found.data.T, strict=True)
    }
    names = [str(found.target_names[label]) for label in found.target]
    return Sheet({**cells, "class": list(names)}, [f"row {row}" for row in range(len(names))])


def dealt(rows: Tensor, test: int | float, labels: Tensor | None = None) -> Splits:
    """Rows as a training and a test split, the same in all runs. labels: of each, or None."""
    size = cut(test, len(rows), "data.source.test", f"{len(rows):,} rows")
    # numpy freezes RandomState's stream for all versions, which neither torch nor default_rng promises.
    chosen, kept = torch.from_numpy(np.random.RandomState(0).permutation(len(rows))).tensor_split([size])
    every = Observations(rows, labels)
    missing = int(rows.isnan().sum())
    notes = [f"missing cells: {missing:,} of {rows.numel():,}"] if missing else []
    sums = {"rows": checksum(rows.numpy().astype("<f4").tobytes())}
    if labels is not None:
        sums["labels"] = checksum(labels.numpy().astype("<i8").tobytes())
    return Splits(every.take(kept), every.take(chosen), sums, notes=notes)
