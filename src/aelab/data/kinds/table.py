"""The rows of a table."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Generator, Tensor
from torch.distributions import Distribution

from aelab.core.errors import ConfigurationError, DataError
from aelab.core.quantity import Quantity
from aelab.core.records import Trace
from aelab.data.columns import Sheet, columns_of, numbers_of, sheet
from aelab.data.kinds.base import BLOCK, Bounds, Kind
from aelab.figures.text import lines_of_text
from aelab.models.distributions import Columns

ERROR = Quantity("column_error", "squared error or share wrong, per cell", False)
WRONG = Quantity("column_errors", "squared error or wrong, per observation", False)
ROWS = "rows.csv"


class Table(Kind):
    """Rows (D,) of a table, stored as float32: numbers, places of categories, NaN where a cell is missing.

    columns: each with a `name`, its `categories`, none for numbers, and whether they are `whole`.
    """

    noun, nouns = "row", "rows"
    stored = torch.float32
    suited = "values=columns"
    quantities = (ERROR,)
    difference = WRONG
    learns_features = False
    measurable = in_columns = False
    suffixes = frozenset({".csv", ".parquet"})

    def __init__(self, columns: Sequence[Mapping[str, Any]] | None = None) -> None:
        self.columns = columns_of(columns)
        self.sizes = [len(column.categories) for column in self.columns]
        self.is_name = torch.tensor([size > 0 for size in self.sizes])

    def check(self, shape: tuple[int, ...], bounds: Bounds) -> None:
        if shape != (len(self.columns),):
            raise ConfigurationError(
                f"data.shape={list(shape)}, and data.kind.columns are {len(self.columns)}: leave it out"
            )
        if bounds is not None:
            raise ConfigurationError(f"data.bounds={bounds}: the cells of a table have none, null would work")

    def describes(self, likelihood: Distribution) -> bool:
        return isinstance(likelihood, Columns)

    def measure(self, trace: Trace) -> dict[str, Tensor]:
        """column_error: over the cells that are there, the mean of the squared error of numbers, in the units
        that the model sees, and of 1 for each wrong category."""
        found = self._errors(trace.x, self.back(trace.likelihood)).mean(0)
        return {"column_error": found.sum(-1) / (~trace.x.isnan()).sum(-1).clamp_min(1)}

    def _errors(self, x: Tensor, back: Tensor) -> Tensor:
        wrong, squared = (x != back).double(), (x - back).double().square()
        each = torch.where(self.is_name.to(x.device), wrong, squared)
        return torch.where(x.isnan(), 0.0, each)

    def back(self, likelihood: Distribution) -> Tensor:
        """The mean of each number and the likeliest category."""
        return likelihood.mode

    def differences(self, x: Tensor, back: Tensor) -> Tensor:
        return self._errors(x, back).sum(-1)

    def rounded(self, rows: Tensor) -> Tensor:
        """Rows (N, D) with whole numbers in the columns that hold such, as they are written."""
        whole = torch.tensor([column.whole for column in self.columns])
        return torch.where(whole, rows.round(), rows)

    def cells(self, rows: Tensor) -> list[list[str]]:
        """Rows (N, D) as text."""
        return [[c.cell(v) for c, v in zip(self.columns, row, strict=True)] for row in rows.cpu().tolist()]

    def drawn(self, rows: Sequence[Tensor], captions: Sequence[str]) -> Image.Image:
        """The cells, line by line, numbers in the units that the model sees."""
        shown = [[" ".join(f"{cell[:9]:>9}" for cell in row) for row in self.cells(part)] for part in rows]
        return lines_of_text(shown, captions)

    def parse(self, given: Any, shape: tuple[int, ...], resize: bool = False) -> Tensor:
        """Rows as mappings from names of columns to cells, or as numbers (N, D), NaN where one is missing."""
        if isinstance(given, Mapping):
            given = [given]
        if isinstance(given, Sequence) and given and all(isinstance(row, Mapping) for row in given):
            cells = {c.name: [row.get(c.name) for row in given] for c in self.columns}
            return self._numbers(Sheet(cells, [f"row {place}" for place in range(len(given))]))
        try:
            found = torch.as_tensor(given, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise DataError(
                f"rows are mappings from columns, or numbers [N, {shape[0]}] ({error})"
            ) from error
        found = found if found.dim() > 1 else found[None]
        if tuple(found.shape[1:]) != shape or not len(found):
            raise DataError(f"the rows are {list(found.shape)}, and the model takes [N, {shape[0]}]")
        for place, column in enumerate(self.columns):
            numbers = found[:, place][~found[:, place].isnan()]
            if column.categories and not set(numbers.tolist()) <= set(range(len(column.categories))):
                raise DataError(
                    f"column {column.name!r} holds places of categories 0 to {len(column.categories) - 1}"
                )
        return found

    def _numbers(self, found: Sheet) -> Tensor:
        return torch.tensor(numbers_of(found, self.columns), dtype=torch.float32)

    def example(self, count: int, shape: tuple[int, ...], generator: Generator) -> Tensor:
        each = [torch.randn(count, generator=generator) for _ in self.columns]
        return torch.stack(
            [v.abs().clamp_max(1).round() if n else v for v, n in zip(each, self.is_name, strict=True)], 1
        )

    def read(
        self, place: str, shape: tuple[int, ...], resize: bool = False
    ) -> tuple[list[str], Iterator[Tensor]]:
        """The rows of a .csv or .parquet file with these columns."""
        found = sheet(place)
        return found.where, iter(self._numbers(found).split(BLOCK))

    def write(
        self, folder: Path, blocks: Iterable[Tensor], names: Iterable[str], reserved: Iterable[str] = ()
    ) -> None:
        """One file, rows.csv, with the names of the columns in its first line."""
        with (folder / ROWS).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow([column.name for column in self.columns])
            for block in blocks:
                table.writerows(self.cells(block))
