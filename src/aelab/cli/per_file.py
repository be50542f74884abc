"""What was found of each of a user's files, as a table."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def write_per_file(
    path: Path, columns: Sequence[str], names: Iterable[str], rows: Iterable[Sequence[Any]]
) -> None:
    """A row for each file, its name first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *columns])
        # With ./ no name begins as a formula does, which spreadsheets would compute.
        table.writerows([f"./{name}", *row] for name, row in zip(names, rows, strict=True))
