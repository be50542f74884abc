"""What a command's words look like on a terminal, and where there is none."""

from pathlib import Path

from rich.console import Console

WIDTH = 120  # columns of what is no terminal


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
