"""Which runs a user means by a folder, a pattern, or a list of them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import Any

from aelab.config.identity import fingerprint, without_seed
from aelab.config.recorded import recorded_settings
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.paths import from_user
from aelab.runs.folder import Run, RunFolder, Status

REPRODUCTION = "reproduction.json"
MARKS = frozenset({"record.json", "config.yaml"})


def runs_of(run: Any, runs: Any = None) -> list[Path]:
    """The runs' folders, each once; `run` and `runs` are one option under two names.

    Given is a run, a pattern, a folder that holds runs, or a list of these. What is named and is no run is
    among them, to be refused by name. Reproductions are no runs of a study, and left out of the folder around
    them.

    Raises:
        ConfigurationError: neither is given, or both are.
    """
    return list(dict.fromkeys(found for name in named(run, runs) for found in _meant(name)))


def named(run: Any, runs: Any = None) -> list[str]:
    """The words of `run=` or `runs=`; ConfigurationError where there are none, or both are given."""
    words, others = _words(run), _words(runs)
    if bool(words) == bool(others):
        raise ConfigurationError("give either run=FOLDER, or runs=[FOLDER,...], a pattern or a parent folder")
    return words or others


def run_of(run: Any) -> Path:
    """The one run that is named by itself, by a pattern, or by the folder that holds it.

    Raises ConfigurationError where there are several.
    """
    found = runs_of(run)
    if len(found) > 1:
        newest = max(found, key=lambda path: path.name)
        raise ConfigurationError(f"run={run} holds {len(found)} runs: name one, as run={newest}, the newest")
    return found[0]


def _words(given: Any) -> list[str]:
    return [str(given)] if isinstance(given, str | Path) and given else [*map(str, given or [])]


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


def runs_like(planned: Run) -> Iterator[Run]:
    """The runs of a planned run's configuration that are where it would be, the newest first."""
    folders = RunFolder.named(planned.folder.path, str(planned.settings.name))
    return (run for folder in folders if (run := run_like(planned, folder)) is not None)


def run_like(planned: Run, folder: RunFolder) -> Run | None:
    """The run in a folder, if it is of the planned one's configuration; None also where it cannot be read."""
    with suppress(AelabError):
        if folder.read().get("fingerprint") == planned.fingerprint:  # which is quick, and asked again below
            return run_as(planned, folder.path)
    return None


def run_as(planned: Run, path: Path) -> Run:
    """The planned run in the folder that was made for it; what its parts are, the plan says.

    Raises RunError where the folder is of another configuration, or as `RunFolder.open` does.
    """
    folder = RunFolder.open(path)
    if fingerprint(recorded_settings(folder.config)) != planned.fingerprint:
        raise RunError(
            f"{path} is of another configuration than the command line's: start all processes alike"
        )
    return replace(planned, folder=folder)


MOST = 4  # peers that are looked at


def peers_of(run: Run, given: Sequence[Path] | None = None) -> list[Run]:
    """The runs that are given, else the finished ones beside this one of its configuration and another seed.

    Of each seed the newest, and four at most.
    Raises RunError for a given one that is no run, and ConfigurationError for one that differs in more than
    its seed.
    """
    ours, data = without_seed(run.settings), run.folder.read().get("data")
    seeds: set[int] = {run.settings.seed}
    found: list[Run] = []
    for path in _beside(run.folder) if given is None else given:
        try:
            peer = Run.open(path)
        except AelabError:
            if given is not None:
                raise
            continue
        same_data = peer.folder.read().get("data") == data
        alike = without_seed(peer.settings) == ours and same_data and peer.settings.seed not in seeds
        if given is not None and not alike:
            raise ConfigurationError(
                f"{peer.folder.path} is no peer of {run.folder.path}: its configuration and data must be the "
                "same, and its seed another"
            )
        if alike:
            seeds.add(peer.settings.seed)
            found.append(peer)
    return found if given is not None else found[:MOST]


def spaces_of(found: Mapping[str, Any]) -> frozenset[str]:
    """The names of the feature spaces in what a suite found, which records one, or one for each part."""
    recorded = found.get("feature_space")
    each = [recorded, *recorded.values()] if isinstance(recorded, dict) else []
    return frozenset(str(space["name"]) for space in each if isinstance(space, dict) and "name" in space)


def _beside(folder: RunFolder) -> list[Path]:
    """Finished runs in the same folder, the newest first."""
    paths = sorted((path.parent for path in folder.path.parent.glob("*/record.json")), reverse=True)
    return [path for path in paths if path != folder.path and _is_finished(RunFolder(path))]


def _is_finished(run: RunFolder) -> bool:
    try:
        return run.status is Status.FINISHED
    except (AelabError, ValueError):
        return False
