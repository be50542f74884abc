"""The curves of a run's journal, read when they are first used: most comparisons need none."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from aelab.core.checks import is_number

LONG = 2_000_000
"""Bytes of a journal above which only the lines with validation numbers, and some others, are parsed."""

Points = tuple[tuple[int, float], ...]


class Curves(Mapping[str, Points]):
    """The points (step, value) by the name of a logged metric; read at the first use.

    Lines that cannot be read are left out, and so are values that are not finite numbers.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def _points(self) -> Mapping[str, Points]:
        points: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for row in _rows(self._path):
            step: Any = row.get("step")
            for name, value in row.items() if isinstance(step, int) else ():
                if name not in ("step", "epoch") and is_number(value):
                    points[name].append((step, float(value)))
        return {name: tuple(values) for name, values in points.items()}

    def __getitem__(self, name: str) -> Points:
        return self._points[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    every = 1 + path.stat().st_size // LONG
    with path.open("rb") as file:
        for number, line in enumerate(file):
            if number % every and b'"val/' not in line:
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(row, dict):
                yield row
