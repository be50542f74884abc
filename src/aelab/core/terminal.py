"""What a command's words look like on a terminal, and where there is none."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Column, Table

from aelab.core.files import json_text
from aelab.core.text import WIDTH, hung

_results: list[dict[str, Any]] = []


class Plain(Console):
    """A console of plain words, whatever they quote: nothing in them is markup.

    A line that a terminal is too narrow for goes on at a word, below what its label is followed by; elsewhere
    lines are not broken, and neither is what `out` prints, as a command to be copied.
    """

    def __init__(self, file: IO[str] | None = None) -> None:
        super().__init__(file=file, soft_wrap=True, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        wide = self.width if self.is_terminal and not options.get("no_wrap") else sys.maxsize
        super().print(*(hung(each, wide) if isinstance(each, str) else each for each in objects), **options)


def console(width: int = WIDTH, file: IO[str] | None = None) -> Console:
    """What a command says its words on: stdout, or a file; width: columns of what is no terminal."""
    found = Plain(file)
    if not found.is_terminal:
        found.width = width
    return found


def table_of(*heads: str | Column, title: str | None = None) -> Table:
    """An empty table as all commands print theirs: a rule below its heads, and no more room than it needs."""
    return Table(*heads, title=title, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def from_here(path: Path) -> str:
    """The path as a user would type it from here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def result(**fields: Any) -> None:
    """Keep what the command at hand came to, for `results_as_json`."""
    _results.append(fields)


@contextmanager
def results_as_json() -> Iterator[None]:
    """A context whose words all go to stderr, those of child processes too, and then its results to stdout.

    One result is an object, several are a list; where there is none, as in a rank beside the first, nothing.
    """
    _results.clear()
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        if _results:
            print(json_text(_results[0] if len(_results) == 1 else _results), flush=True)
