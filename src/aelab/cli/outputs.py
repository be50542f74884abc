"""What a command writes of a user's observations: files in a folder, or the arrays of one .npz file."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.data.kinds import Kind

TABLE = "errors.csv"
NONE: Mapping[str, Sequence[Any]] = {}


def write_outputs(
    path: Path,
    kind: Kind,
    blocks: Iterable[Tensor],
    names: Iterable[str],
    columns: Mapping[str, Sequence[float]] = NONE,
    more: Mapping[str, Sequence[Tensor]] = NONE,
    picture: tuple[str, Callable[[], Image.Image]] | None = None,
) -> None:
    """Observations in a user's units, as `Kind.write` has them, or an array x where `path` ends in .npz.

    columns: numbers of each, which are whole once the blocks are: a table, or an array each.
    more: further blocks of each, for an .npz file alone. picture: for a folder alone: its name, and how it is
        made then.
    """
    if path.suffix == ".npz":
        found = kind.arrays(blocks)
        found |= {name: np.array(values) for name, values in columns.items()}
        found |= {name: torch.cat(list(each)).numpy() for name, each in more.items()}
        np.savez(path, **found)  # type: ignore[arg-type]
        return
    path.mkdir()
    listed = list(names)
    kind.write(path, blocks, listed, reserved=[picture[0]] if picture else [])
    if picture:
        picture[1]().save(path / picture[0])
    if columns:
        rows = zip(*([f"{value:.6g}" for value in values] for values in columns.values()), strict=True)
        write_per_file(path / TABLE, list(columns), listed, rows)


def write_per_file(
    path: Path, columns: Sequence[str], names: Iterable[str], rows: Iterable[Sequence[Any]]
) -> None:
    """A row for each file, its name first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", *columns])
        # With ./ no name begins as a formula does, which spreadsheets would compute.
        table.writerows([f"./{name}", *row] for name, row in zip(names, rows, strict=True))
