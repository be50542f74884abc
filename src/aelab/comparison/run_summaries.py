"""Run folders read as plain values. They are data: nothing in them is built, resolved or trusted."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from aelab.comparison.base import RunSummary
from aelab.comparison.curves import Curves
from aelab.config.identity import without_seed
from aelab.config.recorded import NEEDED, check_layout, plain_yaml
from aelab.core.checks import is_number
from aelab.core.errors import AelabError, ConfigurationError, RunError
from aelab.core.quantity import Quantity
from aelab.core.text import printable, sentence, without_secrets
from aelab.core.untrusted import check_folder, sealed_object
from aelab.runs.find import matching, runs_below
from aelab.runs.folder import RunFolder, Status

# libyaml reads a configuration in a tenth of the time; either makes plain values alone.
Safe: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Loader(Safe):
    """A YAML loader of plain values, which finds the type of each word once: runs share most of them."""

    @staticmethod
    @lru_cache(100_000)
    def _type(kind: type, value: Any, implicit: tuple[bool, bool]) -> str:
        return Safe("").resolve(kind, value, implicit)

    def resolve(self, kind: type, value: Any, implicit: tuple[bool, bool]) -> str:
        return self._type(kind, value, implicit)


def read_runs(patterns: Sequence[str]) -> tuple[list[RunSummary], dict[str, str]]:
    """The runs at and below paths or globs, by path; and why each folder that could not be read was skipped.

    Raises ConfigurationError for a pattern that matches nothing, and where no run can be read.
    """
    runs, skipped = [], {}
    for path in discover(patterns):
        try:
            runs.append(read_run(path))
        except (AelabError, OSError, RecursionError) as error:
            skipped[printable(path)] = printable(without_secrets(str(error) or type(error).__name__))
    if not runs:
        reasons = "".join(f"; {reason}" for reason in list(skipped.values())[:1])
        raise ConfigurationError(f"runs={','.join(patterns)} holds no run that can be read{reasons}")
    return runs, skipped


def discover(patterns: Sequence[str]) -> list[Path]:
    """The folders that hold a run's record or configuration, each once; not those within a run."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        folders = [run.resolve() for path in matching(pattern) for run in runs_below(path)]
        if not folders:
            raise ConfigurationError(
                f"runs={pattern} matches no run: give folders of runs, or what holds them"
            )
        found.update(dict.fromkeys(folders))
    return list(found)


def read_run(path: Path) -> RunSummary:
    """A run's folder as plain values, without secrets.

    Raises RunError for a folder that no training of this project made, that is damaged, or that holds links.
    """
    folder = RunFolder(path)
    check_folder(path)
    record, config = _record(folder), _configuration(folder)
    settings = dict(_leaves(without_secrets(without_seed(config)), ""))
    values, quantities = _values(folder, record)
    status = folder.status
    if record.get("status") != Status.RUNNING:
        folder.check_seals()
    return RunSummary(
        path=path,
        name=printable(config["name"]),
        seed=int(config["seed"]),
        status=str(status),
        error=_error(status, record),
        settings=settings,
        values=values,
        record=without_secrets(record),
        curves=Curves(folder.metrics),
        pictures=_pictures(path),
        quantities=quantities,
        fold=_fold(settings, path),
    )


def _fold(settings: dict[str, Any], path: Path) -> int:
    """The fold of a run, taken out of the settings, in which repetitions must not differ."""
    fold = settings.pop("data.fold", 0)
    if not isinstance(fold, int):
        raise RunError(f"{path / 'config.yaml'} has the fold {str(fold)[:40]!r}, which is no whole number")
    return fold


def _record(folder: RunFolder) -> dict[str, Any]:
    record = _json(folder.record)
    if record.get("status") not in list(Status):
        raise RunError(f"{folder.record} is no record of a run")
    return record


def _json(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise RunError(f"{path} is missing")
    return sealed_object(path)


def _configuration(folder: RunFolder) -> dict[str, Any]:
    path = folder.config
    if not path.exists():
        raise RunError(f"{path} is missing")
    try:
        config = yaml.load(plain_yaml(path), Loader)
    except (yaml.YAMLError, ValueError) as damage:
        if isinstance(damage, RunError):
            raise
        raise RunError(f"{path} is damaged ({printable(sentence(damage))})") from damage
    check_layout(config, path)
    nodes = isinstance(config, dict) and [config.get(node) for node in ("data", "model", "training", "start")]
    if not nodes or not config.keys() >= NEEDED.keys() or not all(isinstance(node, dict) for node in nodes):
        raise RunError(f"{path} holds no configuration of a run")
    if not isinstance(config["seed"], int):
        raise RunError(f"{path} has the seed {config['seed']!r}, which is no whole number")
    return config


def _leaves(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        elif key != "_partial_":
            yield f"{prefix}{key}", value


def _error(status: Status, record: Mapping[str, Any]) -> str | None:
    if status is Status.FINISHED:
        return None
    error = record.get("error") or {
        Status.RUNNING: "still running",
        Status.KILLED: "killed before its end",
        Status.FAILED: "failed without a word",
        Status.PRUNED: "pruned by its study",
    }[status]  # fmt: skip
    return printable(without_secrets(sentence(error)))


def _values(folder: RunFolder, record: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Quantity]]:
    """The finite numbers of the test split and of all suites, by name, with their facts."""
    facts = _inner(record, "quantities")
    measured = _inner(record, "metrics")
    found = {printable(name): (value, _inner(facts, name)) for name, value in measured.items()}
    suites = _json(folder.evaluations) if folder.evaluations.exists() else {}
    for suite in suites:
        estimates = _inner(_inner(suites, suite), "estimates")
        for name in estimates:
            estimate = _inner(estimates, name)
            found[printable(f"{suite}/{name}")] = (estimate.get("value"), estimate)
    finite = {name: each for name, each in found.items() if is_number(each[0])}
    quantities = {name: _quantity(name, facts) for name, (_, facts) in finite.items()}
    return {name: float(value) for name, (value, _) in finite.items()}, quantities


def _inner(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The object at a key, empty where there is another thing or nothing."""
    found = node.get(key)
    return found if isinstance(found, dict) else {}


def _quantity(name: str, facts: Mapping[str, Any]) -> Quantity:
    """The facts of a number in a record; a direction that is none is left out."""
    higher = facts.get("higher_is_better")
    return Quantity(
        name,
        printable(facts.get("unit", "")),
        higher if isinstance(higher, bool) else None,
        facts.get("of_likelihood") is True,
    )


def _pictures(path: Path) -> dict[str, Path]:
    """The picture files by stem, of the training, or of evaluations where these have the same.

    Links are left out: their targets are not the run's.
    """
    folders = [path / "pictures", *sorted((path / "evaluation").glob("*"), reverse=True)]
    found = {}
    for folder in folders:
        for entry in sorted(os.scandir(folder), key=_name) if folder.is_dir() else ():
            if entry.name.endswith(".png") and entry.is_file(follow_symlinks=False):
                found[Path(entry.name).stem] = Path(entry.path)
    return {name: file for name, file in found.items() if not name.startswith("epoch_")}


def _name(entry: os.DirEntry[str]) -> str:
    return entry.name
