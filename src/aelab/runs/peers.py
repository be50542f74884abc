"""Runs that differ from one another in their seed alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig

from aelab.errors import AelabError, ConfigurationError
from aelab.runs.deciding import without_seed
from aelab.runs.folder import RunFolder, Status
from aelab.runs.trusted import trusted_settings

MOST = 4  # peers that are looked at


def peers_of(
    folder: RunFolder, settings: DictConfig, given: Sequence[RunFolder] | None = None
) -> list[RunFolder]:
    """The runs that are given, else the finished ones beside this one of its configuration and another seed.

    Of each seed the newest, and four at most.
    Raises ConfigurationError for a given run that differs in more than its seed.
    """
    ours, data = without_seed(settings), folder.read().get("data")
    seeds, found = {settings.seed}, []
    for candidate in _beside(folder) if given is None else given:
        try:
            theirs = trusted_settings(candidate)
        except AelabError:
            if given is not None:
                raise
            continue
        same_data = candidate.read().get("data") == data
        alike = without_seed(theirs) == ours and same_data and theirs.seed not in seeds
        if given is not None and not alike:
            raise ConfigurationError(
                f"{candidate.path} is no peer of {folder.path}: its configuration and data must be the "
                "same, and its seed another"
            )
        if alike:
            seeds.add(theirs.seed)
            found.append(candidate)
    return found if given is not None else found[:MOST]


def spaces_of(found: Mapping[str, Any]) -> frozenset[str]:
    """The names of the feature spaces in what a suite found, which records one, or one for each part."""
    recorded = found.get("feature_space")
    each = [recorded, *recorded.values()] if isinstance(recorded, dict) else []
    return frozenset(str(space["name"]) for space in each if isinstance(space, dict) and "name" in space)


def _beside(folder: RunFolder) -> list[RunFolder]:
    """Finished runs in the same folder, the newest first."""
    paths = sorted((path.parent for path in folder.path.parent.glob("*/record.json")), reverse=True)
    runs = (RunFolder(path) for path in paths if path != folder.path)
    return [run for run in runs if _finished(run)]


def _finished(run: RunFolder) -> bool:
    try:
        return run.status is Status.FINISHED
    except (AelabError, ValueError):
        return False
