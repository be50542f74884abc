"""Groups of runs that differ in seed and fold alone, or in nothing among the keys to group by."""

import difflib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

from aelab.comparison import group_names
from aelab.comparison.base import Group, Repeat, RunSummary
from aelab.comparison.fairness import budget, test_data
from aelab.core.errors import ConfigurationError
from aelab.core.text import listed, printable, shortest
from aelab.runs.folder import Status

DATA = "data.files"
"""The key by which groups of one configuration differ that read different files."""


def grouped(runs: Sequence[RunSummary], by: Sequence[str] | None = None) -> tuple[list[Group], list[str]]:
    """Groups in the order of their first runs, and notes on runs that do not count or were pooled.

    by: the keys in which groups differ; None: all of the configuration but seed and fold. Of finished runs of
    one configuration, seed and fold the newest counts.

    Raises ConfigurationError for a key that no run has.
    """
    identities = [{**run.settings, DATA: test_data(run)} for run in runs]
    keys = None if by is None else [_known(key, identities) for key in by]
    members: dict[Hashable, list[int]] = defaultdict(list)
    for index, identity in enumerate(identities):
        members[_key(identity, keys)].append(index)
    firsts = [identities[indices[0]] for indices in members.values()]
    differing = group_names.differing(firsts) if keys is None else keys
    labels = group_names.names(firsts) if keys is None else group_names.by_keys(firsts, keys)
    groups, notes = [], []
    for label, first, indices in zip(labels, firsts, members.values(), strict=True):
        counted, superseded, lost = _newest([(runs[index], identities[index]) for index in indices])
        group = _group(label or "all", {key: first.get(key) for key in differing}, counted, lost)
        groups.append(group)
        notes += _superseded_notes(group, superseded)
        if keys is not None:
            notes += _pooled_notes(group, [identities[index] for index in indices])
    return groups, notes


def values_by_seed(group: Group, metric: str) -> dict[Repeat, float]:
    """The values of a metric by seed and fold; the mean of runs that are pooled."""
    found = defaultdict(list)
    for run in group.runs:
        if metric in run.values:
            found[run.repeat].append(run.values[metric])
    return {repeat: sum(values) / len(values) for repeat, values in found.items()}


def lost(group: Group, metric: str) -> int:
    """How many repetitions have no finite value of a metric: not finished, diverged, or not measured."""
    return group.lost + sum(metric not in run.values for run in group.runs)


def _key(identity: Mapping[str, Any], keys: Sequence[str] | None) -> Hashable:
    chosen = {key: identity.get(key, group_names.ABSENT) for key in keys} if keys is not None else identity
    # Keys that are no words, as a foreign configuration may have, are put in order as the others.
    return tuple(sorted(((key, group_names.plain(value)) for key, value in chosen.items()), key=repr))


def _known(key: str, identities: Iterable[Mapping[str, Any]]) -> str:
    known = list(dict.fromkeys(name for identity in identities for name in identity))
    for candidate in (key, f"{key}._target_"):
        if candidate in known:
            return candidate
    near = difflib.get_close_matches(key, known, 3, 0.6)
    near += [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2] and name not in near]
    hint = f"did you mean {listed(near)}?" if near else f"there are {listed(known, 8)}"
    raise ConfigurationError(f"by={key} is in no run's configuration: {hint}")


def _newest(
    runs: Iterable[tuple[RunSummary, Mapping[str, Any]]],
) -> tuple[list[RunSummary], list[RunSummary], int]:
    """The runs that count, those whose configuration and seed were finished again later, and how many
    configurations and seeds were never finished."""
    kept: dict[Hashable, RunSummary] = {}
    failed, superseded, tried = [], [], set()
    for run, identity in sorted(runs, key=lambda pair: pair[0].path.name):
        key = (run.repeat, _key(identity, None))
        if run.status != Status.FINISHED:
            failed.append(run)
            tried.add(key)
            continue
        if key in kept:
            superseded.append(kept[key])
        kept[key] = run
    return [*kept.values(), *failed], superseded, len(tried - kept.keys())


def _group(name: str, differing: Mapping[str, Any], runs: Iterable[RunSummary], lost: int) -> Group:
    ordered = sorted(runs, key=lambda run: (run.repeat, str(run.path)))
    finished = tuple(run for run in ordered if run.status == Status.FINISHED)
    failed = tuple(run for run in ordered if run.status != Status.FINISHED)
    return Group(name, differing, finished, failed, budget(finished), lost=lost)


def _superseded_notes(group: Group, superseded: Sequence[RunSummary]) -> list[str]:
    if not superseded:
        return []
    paths = listed((f"{run.path.name} (seed {run.seed})" for run in superseded), 5)
    return [f"{group.name}: run again with the same seed, so the newest counts and not {paths}"]


def _pooled_notes(group: Group, identities: Sequence[Mapping[str, Any]]) -> list[str]:
    keys = group_names.differing(identities) if len(identities) > 1 else []
    if not keys:
        return []
    words = [name for key, name in shortest(keys).items() if "." not in name or "_target_" in key]
    return [f"{printable(group.name)}: pools runs that also differ in {listed(words or keys, 6)}"]
