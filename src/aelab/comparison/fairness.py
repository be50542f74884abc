"""Differences between groups beyond their configurations: data, budget, machine and code."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from aelab.comparison.base import Budget, Group, RunSummary
from aelab.core.checks import is_number
from aelab.core.errors import DataError
from aelab.core.quantity import Quantity
from aelab.core.text import listed, printable

UNEQUAL = 0.01  # relative difference of a budget above which it is another one
COUNTED = {"steps": "optimisation steps", "samples_seen": "training images seen", "flops": "FLOPs"}
NAMED = {"hardware": "hardware", "commit": "code"}


def budget(runs: Iterable[RunSummary]) -> Budget:
    """The budget of runs; a record that lacks a number adds nothing to it."""
    runs = list(runs)
    return Budget(
        parameters=_distinct(runs, lambda run: _count(run, "parameters")),
        steps=_distinct(runs, lambda run: _count(run, "steps")),
        samples_seen=_distinct(runs, lambda run: _count(run, "samples_seen")),
        flops=_distinct(runs, flops),
        seconds=_distinct(runs, lambda run: _count(run, "seconds")),
        hardware=_distinct(runs, hardware),
        commit=_distinct(runs, commit),
        data=_distinct(runs, test_data),
    )


def _distinct(runs: Iterable[RunSummary], fact: Callable[[RunSummary], Any]) -> tuple[Any, ...]:
    return tuple(sorted({value for run in runs if (value := fact(run)) is not None}))


def _count(run: RunSummary, name: str) -> Any:
    value = run.record.get(name)
    return value if is_number(value) else None


def flops(run: RunSummary) -> float | None:
    """The floating-point operations of a training: of a pass and gradient for one image, times its images."""
    each, seen = _count(run, "flops_per_image"), _count(run, "samples_seen")
    return None if each is None or seen is None else float(each) * float(seen)


def hardware(run: RunSummary) -> str | None:
    """The accelerators of a run, else its processor."""
    machine = run.record.get("hardware")
    if not isinstance(machine, dict):
        return None
    gpus = machine.get("gpus")
    trained_on_cpu = run.settings.get("trainer.accelerator") == "cpu"
    chips = gpus if isinstance(gpus, list) and gpus and not trained_on_cpu else [machine.get("cpu")]
    return printable(" + ".join(map(str, chips)))


def commit(run: RunSummary) -> str | None:
    """The commit's first ten digits, with a + where uncommitted changes came on top, and of resumes."""
    entries = run.record.get("continued")
    others = [each for each in entries if isinstance(each, dict)] if isinstance(entries, list) else []
    found = [short for each in (run.record, *others) if (short := _commit(each.get("git")))]
    return ", then ".join(dict.fromkeys(found)) or None


def _commit(git: Any) -> str | None:
    if not isinstance(git, dict) or not git.get("commit"):
        return None
    return printable(str(git["commit"])[:10]) + ("+" if git.get("dirty") else "")


def test_data(run: RunSummary) -> str:
    """The test data of a run: name, values, and a digest of checksums, shape and the settings that decide."""
    data = run.record.get("data")
    recorded = data if isinstance(data, dict) else {}
    name = recorded.get("name") or run.settings.get("data.name")
    values = str(run.settings.get("data.values._target_")).rpartition(".")[2].lower()
    decides = {k: v for k, v in run.settings.items() if k.startswith(("data.values", "data.source"))}
    identity = [recorded.get("checksums"), run.settings.get("data.shape"), decides]
    text = json.dumps(identity, sort_keys=True, default=str)
    return printable(f"{name}, {values}, {hashlib.sha256(text.encode()).hexdigest()[:8]}")


def check_data(groups: Sequence[Group], allowed: bool) -> None:
    """Raise DataError where groups were tested on different data, unless that is asked for."""
    tested = _by_value(groups, lambda group: group.budget.data)
    if len(tested) > 1 and not allowed:
        found = "; ".join(f"{value}: {listed(names)}" for value, names in tested.items())
        raise DataError(
            f"the runs were tested on different data ({found}), so their numbers are not of the same thing: "
            "give runs of one data set and values, or different_data=true"
        )


def flags(groups: Sequence[Group], metrics: Sequence[Quantity]) -> Iterator[str]:
    """A sentence for each way in which groups differ beyond what is compared."""
    tested = _by_value(groups, lambda group: group.budget.data)
    if len(tested) > 1:
        yield f"tested on different data: {_versus(tested)}; the numbers are not of the same thing"
    for name, word in COUNTED.items():
        yield from _unequal(groups, name, word)
    for name, word in NAMED.items():
        found = _by_value(groups, lambda group, name=name: getattr(group.budget, name))  # type: ignore[misc]
        if len(found) > 1:
            yield f"{word} differs: {_versus(found)}"
    seeds = _by_value(groups, lambda group: [len({run.repeat for run in group.runs})])
    if len(seeds) > 1:
        yield f"numbers of seeds differ: {_versus(seeds)}"
    for group in groups:
        if group.lost and group.runs:
            reasons = listed(sorted({str(run.error) for run in group.failed}), 2)
            yield (
                f"{group.name} lost {group.lost} of {group.lost + len(group.runs)} repetitions ({reasons}): "
                "its numbers are of the others alone, and it is never called best"
            )
    if any(run.fold for group in groups for run in group.runs):
        yield (
            "each fold of data.folds counts as a seed does, but their trainings share images, so intervals "
            "and p-values are too small (Nadeau and Bengio 2003)"
        )
    yield from _scored_differently(groups, metrics)


def _scored_differently(groups: Sequence[Group], metrics: Sequence[Quantity]) -> Iterator[str]:
    likelihoods = _by_setting(groups, "model.likelihood._target_")
    compared = [metric.name for metric in metrics if metric.of_likelihood]
    if len(likelihoods) > 1 and compared:
        yield f"{listed(compared)} are of different likelihoods: {_versus(likelihoods)}"
    for key, word in {"model.corruption": "corruptions", "model.conditioner": "conditions"}.items():
        found = _by_setting(groups, key)
        if len(found) > 1:
            yield f"scored under different {word}: {_versus(found)}"


def _by_setting(groups: Iterable[Group], key: str) -> dict[str, list[str]]:
    def chosen(run: RunSummary) -> str:
        value = run.settings.get(key) or run.settings.get(f"{key}._target_") or "none"
        return printable(value).rpartition(".")[2]

    return _by_value(groups, lambda group: sorted({chosen(run) for run in group.runs}))


def _by_value(groups: Iterable[Group], values: Callable[[Group], Iterable[Any]]) -> dict[str, list[str]]:
    """The names of the groups that have a run of each value."""
    found: dict[str, list[str]] = {}
    for group in groups:
        for value in values(group) if group.runs else ():
            found.setdefault(str(value), []).append(group.name)
    return found


def _versus(found: Mapping[str, Sequence[str]]) -> str:
    return " versus ".join(f"{printable(value)} ({listed(names)})" for value, names in found.items())


def _unequal(groups: Sequence[Group], name: str, word: str) -> Iterator[str]:
    known = {group.name: getattr(group.budget, name) for group in groups if group.runs}
    used = {group: values for group, values in known.items() if values}
    if not used:
        return
    if unknown := [group for group in known if group not in used]:
        yield f"{word} not recorded: {listed(unknown)}"
    least = min(used, key=lambda group: min(used[group]))
    most = max(used, key=lambda group: max(used[group]))
    low, high = min(used[least]), max(used[most])
    if high - low > UNEQUAL * high:
        yield f"{word} differ: from {low:,.4g} ({least}) to {high:,.4g} ({most})"
