"""Tables in files: what each column holds, and the numbers that stand for its cells."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.core.errors import DataError
from aelab.core.paths import from_user
from aelab.core.text import listed, printable

MISSING = frozenset({"", "?", "na", "n/a", "nan", "null", "none"})  # in small letters
MOST = 200  # categories of a column
DELIMITERS = ",;\t|"
Cell = str | float | None


@dataclass(frozen=True)
class Column:
    """A column of numbers, which may all be whole, or of names: its categories, in their order."""

    name: str
    categories: tuple[str, ...] = ()
    whole: bool = False

    def number(self, cell: Any) -> float:
        """The number that stands for a cell: of a category its place, of a missing one NaN.

        Raises ValueError for what is none of these.
        """
        if _is_missing(cell):
            return math.nan
        if not self.categories:
            return float(cell)
        if str(cell) not in self.categories:
            raise ValueError(f"{cell!r} is none of {listed(self.categories)}")
        return float(self.categories.index(str(cell)))

    def cell(self, number: float) -> str:
        """The cell that a number stands for."""
        if math.isnan(number):
            return ""
        if self.categories:
            return self.categories[round(number)]
        return str(round(number)) if self.whole else f"{number:.6g}"

    def facts(self) -> dict[str, Any]:
        """As plain values, of which `columns_of` makes it again."""
        return {"name": self.name, "categories": list(self.categories), "whole": self.whole}


def columns_of(facts: Sequence[Mapping[str, Any]] | None) -> list[Column]:
    """Columns from their plain values."""
    return [Column(str(f["name"]), tuple(map(str, f["categories"])), bool(f["whole"])) for f in facts or ()]


@dataclass(frozen=True)
class Sheet:
    """The cells of a table by its columns. where: of each row, for errors."""

    cells: dict[str, list[Cell]]
    where: list[str]


def sheet(place: str | Path, delimiter: str | None = None) -> Sheet:
    """A table in a .csv file with names in its first line, or in a .parquet file.

    delimiter: between cells; None: the one of `DELIMITERS` that stands most often in the first line.
    Raises DataError where there is none, or lines have other lengths than the first.
    """
    path = from_user(place)
    if not path.is_file():
        raise DataError(f"{printable(place)}: there is no table; a .csv or .parquet file is needed")
    return _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path, delimiter)


def _csv(path: Path, delimiter: str | None) -> Sheet:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter or max(DELIMITERS, key=first.count))
            rows = [(reader.line_num, row) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{printable(path)} is no table of text in UTF-8 ({error}): save it as UTF-8"
        ) from error
    if len(rows) < 2:
        raise DataError(f"{printable(path)} holds no rows below the names of its columns")
    names = [name.strip() for name in rows[0][1]]
    if len(set(names)) != len(names) or not all(names):
        raise DataError(
            f"{printable(path)}, line 1: columns need names of their own, and they are {listed(names)}"
        )
    for line, row in rows[1:]:
        if len(row) != len(names):
            raise DataError(
                f"{printable(path)}, line {line}: {len(row)} cells, and the first line names {len(names)} "
                "columns: correct it, or give data.source.delimiter"
            )
    cells = zip(*(row for _, row in rows[1:]), strict=True)
    where = [f"{path.name}, line {line}" for line, _ in rows[1:]]
    return Sheet({name: list(column) for name, column in zip(names, cells, strict=True)}, where)


def _parquet(path: Path) -> Sheet:
    from pyarrow import ArrowException
    from pyarrow.parquet import read_table

    try:
        found = read_table(path)
    except (ArrowException, OSError) as error:
        raise DataError(f"{printable(path)} is no parquet file ({str(error).splitlines()[0]})") from error
    if not found.num_rows:
        raise DataError(f"{printable(path)} holds no rows")
    cells = {name: [_plain(cell) for cell in found[name].to_pylist()] for name in found.column_names}
    return Sheet(cells, [f"{path.name}, row {row}" for row in range(found.num_rows)])


def _plain(cell: Any) -> Cell:
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return float(cell)
    return cell if cell is None else str(cell)


def surveyed(found: Sheet, categorical: Sequence[str] = (), drop: Sequence[str] = ()) -> list[Column]:
    """What each column holds, but for those to `drop`: numbers where all its cells are, else categories.

    categorical: the columns whose numbers are names. Raises DataError for a column that is not there, holds
    nothing, changes its type, or has hundreds of categories.
    """
    for name in (*categorical, *drop):
        if name not in found.cells:
            raise DataError(f"there is no column {name!r}: there are {listed(found.cells)}")
    kept = (name for name in found.cells if name not in drop)
    return [_column(name, found.cells[name], found.where, name in categorical) for name in kept]


def _column(name: str, cells: Sequence[Cell], where: Sequence[str], is_name: bool) -> Column:
    known = [(cell, place) for cell, place in zip(cells, where, strict=True) if not _is_missing(cell)]
    if not known:
        raise DataError(f"column {name!r} holds no value: leave it out, as data.source.drop=[{name}]")
    numbers = [_float(cell) for cell, _ in known]
    odd = [known[row] for row, number in enumerate(numbers) if number is None]
    if not odd and not is_name:
        return Column(name, whole=all(number is not None and number.is_integer() for number in numbers))
    if not is_name and 2 * len(odd) < len(known):
        cell, place = odd[0]
        raise DataError(
            f"{place}: column {name!r} holds {cell!r}, and {len(known) - len(odd):,} others are numbers: "
            f"correct it, or data.source.categorical=[{name}] would work"
        )
    categories = sorted({_name(cell) for cell, _ in known})
    if len(categories) > MOST or any("${" in category for category in (name, *categories)):
        raise DataError(
            f"column {name!r} has {len(categories):,} different names: {MOST} at most, none with ${{, can be "
            f"told apart; leave it out, as data.source.drop=[{name}]"
        )
    return Column(name, tuple(categories))


def _is_missing(cell: Cell) -> bool:
    if isinstance(cell, float):
        return math.isnan(cell)
    return cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING)


def _name(cell: Cell) -> str:
    return f"{cell:g}" if isinstance(cell, float) else str(cell)


def _float(cell: Cell) -> float | None:
    try:
        found = float(cell)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def numbers_of(found: Sheet, columns: Sequence[Column]) -> list[list[float]]:
    """The numbers that stand for the rows of a sheet; DataError with its place for a cell that has none."""
    for column in columns:
        if column.name not in found.cells:
            raise DataError(f"there is no column {column.name!r}: there are {listed(found.cells)}")
    made = []
    for column in columns:
        each = []
        for cell, place in zip(found.cells[column.name], found.where, strict=True):
            try:
                each.append(column.number(_name(cell) if column.categories and cell is not None else cell))
            except ValueError as error:
                raise DataError(f"{place}: column {column.name!r}: {error}") from error
        made.append(each)
    return [list(row) for row in zip(*made, strict=True)]
