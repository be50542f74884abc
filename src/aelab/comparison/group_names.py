"""The names of groups: the settings in which they differ, as short as is unambiguous."""

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from aelab.comparison.base import Group
from aelab.core.quantity import title
from aelab.core.text import printable, shortest

Settings = Mapping[str, Any]
LONGEST = 60
ABSENT = object()


def plain(value: Any) -> Hashable:
    """A setting's value in a form to compare by, in which the word `16` is not the number."""
    return value if value is ABSENT else json.dumps(value, sort_keys=True, default=str)


def differing(settings: Sequence[Settings]) -> list[str]:
    """The keys whose values are not the same in all settings."""
    first, *others = [{key: plain(value) for key, value in one.items()} for one in settings]
    if all(other == first for other in others):
        return []
    keys = dict.fromkeys(key for one in (first, *others) for key in one)
    return [key for key in keys if any(o.get(key, ABSENT) != first.get(key, ABSENT) for o in others)]


def names(settings: Sequence[Settings]) -> list[str]:
    """A name for each of several different settings.

    The runs' own names where these differ; then the fewest keys by which all are distinct:
    `latent=16, lr=0.001`.
    """
    own = [printable(one.get("name", "")) for one in settings]
    alike = defaultdict(list)
    for index, name in enumerate(own):
        alike[name].append(index)
    found = [""] * len(settings)
    for name, indices in alike.items():
        parts = by_keys([settings[index] for index in indices])
        for index, part in zip(indices, parts, strict=True):
            words = [name] if len(alike) > 1 or not part else []
            found[index] = _short(", ".join([*words, *([part] if part else [])])) or "run"
    return _numbered(found)


def data_of(groups: Sequence[Group]) -> list[str]:
    """The names of the data that groups were trained on."""
    return list(dict.fromkeys(str(run.settings.get("data.name", "")) for g in groups for run in g.runs))


def for_people(groups: Sequence[Group]) -> dict[str, str]:
    """The names of groups as a paper has them, by their own: without the data that all share."""
    data = data_of(groups)
    own = {group.name: (group.runs or group.failed)[0].name for group in groups}
    found = {
        name: title(run.removesuffix(f"_{data[0]}") if len(data) == 1 else run) + name[len(run) :]
        for name, run in own.items()
        if name.startswith(run)
    }
    told = {name: found.get(name, name) for name in own}
    return told if len(set(told.values())) == len(told) else dict(zip(own, own, strict=True))


def by_keys(settings: Sequence[Settings], keys: Sequence[str] | None = None) -> list[str]:
    """`key=value, ...` of the given keys; by default of the fewest by which all settings are distinct.

    Keys are as short as is unambiguous among all keys of the settings: `lr`, but `kl.weight`, `data.name`.
    """
    chosen = _distinguishing(settings) if keys is None else list(keys)
    labels = shortest(chosen, among={key for one in settings for key in one})
    return [", ".join(f"{labels[key]}={shown(one.get(key, ABSENT))}" for key in chosen) for one in settings]


def _distinguishing(settings: Sequence[Settings]) -> list[str]:
    """The keys in the order in which each separates most of the settings that those before do not."""
    if len(settings) < 2:
        return []
    candidates = sorted(differing(settings), key=lambda key: (key.count("."), len(key), key))
    values = {key: [plain(one.get(key, ABSENT)) for one in settings] for key in candidates}
    labels: list[tuple[Hashable, ...]] = [() for _ in settings]
    chosen: list[str] = []
    while len(set(labels)) < len(settings) and len(chosen) < len(candidates):
        ways = {key: [(*a, b) for a, b in zip(labels, values[key], strict=True)] for key in candidates}
        best = max(candidates, key=lambda key: len(set(ways[key])))
        chosen.append(best)
        labels = ways[best]
    return chosen


def shown(value: Any) -> str:
    """A value as names show it: classes without their module."""
    if value is ABSENT:
        return "none"
    if isinstance(value, str):
        module, _, last = printable(value).rpartition(".")
        return last if module.startswith(("aelab", "torch", "zuko")) else printable(value)
    return printable(f"{value:g}" if isinstance(value, float) else json.dumps(value, default=str))


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _numbered(found: Sequence[str]) -> list[str]:
    """The names, numbered where shortening has made some alike."""
    taken: set[str] = set()
    distinct = []
    for name in found:
        free, number = name, 2
        while free in taken:
            free, number = f"{name} ({number})", number + 1
        taken.add(free)
        distinct.append(free)
    return distinct
