"""What a command's words look like on a terminal, and where there is none."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from aelab.core.files import json_text

WIDTH = 120  # columns of what is no terminal

_results: list[dict[str, Any]] = []


def console(width: int = WIDTH) -> Console:
    """Plain words, whatever they quote: nothing in them is markup, and lines are not broken."""
    found = Console(soft_wrap=True, highlight=False, markup=False)
    if not found.is_terminal:
        found.width = width
    return found


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
