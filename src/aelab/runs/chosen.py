"""Which runs a user means by a folder, a pattern, or a list of them."""

import os
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from aelab.errors import ConfigurationError
from aelab.locations import from_user

REPRODUCTION = "reproduction.json"
MARKS = frozenset({"record.json", "config.yaml"})


def runs_of(run: str | None, runs: Sequence[str] | str | None) -> list[Path]:
    """The runs' folders, each once: given themselves, by a pattern, or by a folder that holds them.

    What is named and is no run is among them, to be refused by name. Reproductions are no runs of a study, so
    they are left out of the folder around them.

    Raises:
        ConfigurationError: neither is given, or both are.
    """
    given = [runs] if isinstance(runs, str) else list(runs or [])
    if bool(given) == (run is not None):
        raise ConfigurationError("give either run=FOLDER, or runs=[FOLDER,...], a pattern or a parent folder")
    asked = given if run is None else [run]
    return list(dict.fromkeys(found for name in asked for found in _meant(str(name))))


def matching(name: str) -> list[Path]:
    """What is there under a name, or else what it matches as a pattern."""
    path = from_user(name)
    matches = sorted(glob(str(path), recursive=True))  # noqa: PTH207  # a Path globs below itself alone
    return [path] if path.exists() else [Path(match) for match in matches]


def runs_below(start: Path) -> Iterator[Path]:
    """The folders at and below `start` that hold a run's record or configuration; not those within a run.

    Nor those of reproductions, unless `start` holds them itself: they are other executions of runs that count
    already.
    """
    for path, below, files in os.walk(start):
        below.sort()
        if REPRODUCTION in files and Path(path) != start:
            below.clear()
        elif MARKS.intersection(files):
            below.clear()
            yield Path(path)


def _meant(name: str) -> list[Path]:
    folders = [path for path in matching(name) if path.is_dir()]
    return [run for folder in folders for run in list(runs_below(folder)) or [folder]] or [from_user(name)]
