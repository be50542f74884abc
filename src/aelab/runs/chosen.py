"""Which runs a user means by a folder, a pattern, or a list of them."""

from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

from aelab.errors import ConfigurationError
from aelab.locations import from_user
from aelab.runs.folder import RunFolder

REPRODUCTION = "reproduction.json"


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


def _meant(name: str) -> list[Path]:
    path = from_user(name)
    if path.is_dir():
        return _runs_in(path)
    matches = [Path(match) for match in sorted(glob(str(path), recursive=True))]  # noqa: PTH207  # absolute too
    return [found for match in matches if match.is_dir() for found in _runs_in(match)] or [path]


def _runs_in(folder: Path) -> list[Path]:
    """The folder if it is a run, else those below it, else the folder, which is then none."""
    if RunFolder(folder).record.is_file():
        return [folder]
    begun = {file.parent for name in ("record.json", "config.yaml") for file in folder.rglob(name)}
    return sorted(path for path in begun if not _is_reproduced(path, folder)) or [folder]


def _is_reproduced(path: Path, above: Path) -> bool:
    return any((parent / REPRODUCTION).exists() for parent in _between(path, above))


def _between(path: Path, above: Path) -> Iterator[Path]:
    """The folders that hold `path` and lie below `above`."""
    yield from (parent for parent in path.parents if above in parent.parents)
