"""One trial in its own process: the run that it makes or continues, and what it tells the study."""

import contextlib
import fcntl
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.config.identity import fingerprint
from aelab.config.recorded import settings_of
from aelab.core.errors import AelabError, SweepError
from aelab.core.paths import from_user
from aelab.core.signals import Signals, Terminated
from aelab.loggers.jsonl import rows
from aelab.runs.fit import PRUNES
from aelab.runs.folder import RunFolder, Status
from aelab.runs.train import resume, start
from aelab.training.callbacks.study import Pruned, Study, Tells
from aelab.training.checkpoints import resume_points, usable


@dataclass(frozen=True)
class Assignment:
    """What a trial's process is asked, besides its configuration.

    study: where to tell how it goes.
    objectives: direction of each validation number; empty: the run's own `monitor`.
    continues: the run folders of an earlier attempt.
    repeat: whether to run again what any other run has done.
    prunes: whether the study wants the number after every validation.
    """

    study: Study
    objectives: Mapping[str, str]
    continues: tuple[str, ...]
    repeat: bool
    prunes: bool


_assignment: Assignment | None = None


@contextlib.contextmanager
def assigned(assignment: Assignment) -> Iterator[None]:
    """The training inside belongs to a trial."""
    global _assignment
    _assignment = assignment
    try:
        yield
    finally:
        _assignment = None


def current() -> Assignment:
    """The trial that this process is.

    Raises SweepError where a sweeper of another kind has started it.
    """
    if _assignment is None:
        raise SweepError("this training is no trial of a study: leave out hydra/sweeper=...")
    return _assignment


@contextlib.contextmanager
def told_how_it_ends(study: Study) -> Iterator[None]:
    """Nothing that the trial inside raises is lost; one ended by a signal has not ended for the study."""
    try:
        yield
    except Pruned as reason:
        study.send(("pruned", str(reason)))
    except Terminated:
        raise
    except BaseException as error:
        if not isinstance(error, AelabError):
            traceback.print_exc()
        study.send(("failed", f"{type(error).__name__}: {' '.join(str(error).split())}"))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def carry_out(assignment: Assignment, config: DictConfig, signals: Signals) -> None:
    """Train a configuration, from where it was left, unless that is done; tell the study its values."""
    mark = fingerprint(config)
    with _alone(from_user(config.outputs), mark):
        run = _earlier(assignment, config, mark)
        if run is not None and run.status is Status.FINISHED:
            assignment.study.send(("known", str(run.path)))
        else:
            run = _trained(assignment, config, run, signals)
    measured = measured_by(run, config)
    values = values_of(measured, assignment.objectives, config)
    assignment.study.send(("note", {"measured": {name: [value] for name, value in measured.items()}}))
    assignment.study.send(("end", values))


def _trained(
    assignment: Assignment, config: DictConfig, earlier: RunFolder | None, signals: Signals
) -> RunFolder:
    metric = next(iter(assignment.objectives), config.monitor.metric) if assignment.prunes else None
    tells = Tells(assignment.study, metric)
    if assignment.prunes:
        os.environ[PRUNES] = "1"
    if earlier is not None and next(usable(resume_points(earlier.checkpoints)), None):
        resume(earlier.path, signals, [tells])
    else:
        start(config, signals, [tells])
    assert tells.folder is not None
    return RunFolder.open(tells.folder)


@contextlib.contextmanager
def _alone(outputs: Path, mark: str) -> Iterator[None]:
    """Wait until no other process trains the same configuration.

    The lock is the kernel's: it ends with the process that holds it, however that ends.
    """
    folder = outputs / "sweeps" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / mark).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _earlier(assignment: Assignment, config: DictConfig, mark: str) -> RunFolder | None:
    """The run that has done this already, or was at it.

    Raises SweepError where another process is at it still.
    """
    for run in map(RunFolder, map(Path, assignment.continues)):
        if run.record.is_file() and _is_of(run, config, mark):
            return _left(run)
    return None if assignment.repeat else _newest(from_user(config.outputs), config, mark)


def _left(run: RunFolder) -> RunFolder:
    """A run of an attempt that the study has taken back: who was at it, on whatever machine, is gone.

    One who were not would hold the lock of this configuration.
    """
    if run.status is Status.RUNNING:
        run.update(status=Status.KILLED)
    return run


def _newest(outputs: Path, config: DictConfig, mark: str) -> RunFolder | None:
    """A finished run of this configuration, else the newest one."""
    runs = [run for run in RunFolder.named(outputs, str(config.name)) if _is_of(run, config, mark)]
    at_work = [run for run in runs if run.status is Status.RUNNING]
    if at_work:
        raise SweepError(f"{at_work[0].path} trains the same at this moment: start the sweep again after it")
    finished = [run for run in runs if run.status is Status.FINISHED]
    return next(iter(finished or runs), None)


def _is_of(run: RunFolder, config: DictConfig, mark: str) -> bool:
    """Whether a run is of a configuration, whose fingerprint is `mark`; false where that cannot be read."""
    with contextlib.suppress(AelabError, ValueError, TypeError, AttributeError):
        recorded = run.read().get("fingerprint")
        if recorded:  # the record says it, and the configuration, which a resume builds, is asked
            return recorded == mark == fingerprint(settings_of(run.config))
        return _essence(settings_of(run.config)) == _essence(config)
    return False


def _essence(config: DictConfig) -> str:
    """The fingerprint without options that are null: a run that recorded none may be older than they are."""
    return fingerprint(OmegaConf.create(_without_null(OmegaConf.to_container(config))))


def _without_null(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    return {key: _without_null(value) for key, value in node.items() if value is not None}


def measured_by(run: RunFolder, config: DictConfig) -> dict[str, float]:
    """All finite validation numbers of a finished run, at the validation whose weights were kept.

    Raises SweepError where there was no validation that could choose weights.
    """
    kept = _kept(list(rows(run.metrics)), config.monitor)
    if kept is None:
        raise SweepError(f"{run.path} has no validation with a finite {config.monitor.metric or 'number'}")
    return {
        name: float(value) for name, value in kept.items() if name.startswith("val/") and math.isfinite(value)
    }


def _kept(journal: Sequence[Mapping[str, Any]], monitor: DictConfig) -> Mapping[str, Any] | None:
    """The validation whose weights were kept: the best one, or the last where nothing says which is best."""
    name, sign = monitor.metric, 1 if monitor.mode == "max" else -1
    if name is None:
        validations = (row for row in reversed(journal) if any(key.startswith("val/") for key in row))
        return next(validations, None)
    finite = (row for row in journal if name in row and row[name] == row[name])
    return max(finite, key=lambda row: sign * row[name], default=None)


def values_of(
    measured: Mapping[str, float], objectives: Mapping[str, str], config: DictConfig
) -> dict[str, float]:
    """The objectives among what was measured; SweepError where one is not there."""
    wanted = list(objectives) or [config.monitor.metric]
    for name in wanted:
        if name not in measured:
            raise SweepError(
                f"sweep.objectives: {name} is not measured for this model, or not finite; there are "
                f"{', '.join(measured)}"
            )
    return {name: measured[name] for name in wanted}
