"""One trial in its own process: the run that it makes or continues, and what it tells the study."""

import contextlib
import fcntl
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from aelab.core.errors import AelabError, SweepError
from aelab.core.signals import Signals, Terminated
from aelab.loggers.jsonl import rows
from aelab.runs.find import run_like, runs_like
from aelab.runs.fit import PRUNES
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume, train
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
    planned = Run.planned(config)
    with _alone(planned):
        run = _earlier(assignment, planned)
        if run is not None and run.folder.status is Status.FINISHED:
            folder = run.folder
            assignment.study.send(("known", str(folder.path)))
        else:
            folder = _trained(assignment, config, run, signals)
    measured = measured_by(folder, config)
    values = values_of(measured, assignment.objectives, config)
    assignment.study.send(("note", {"measured": {name: [value] for name, value in measured.items()}}))
    assignment.study.send(("end", values))


def _trained(assignment: Assignment, config: DictConfig, earlier: Run | None, signals: Signals) -> RunFolder:
    metric = next(iter(assignment.objectives), config.monitor.metric) if assignment.prunes else None
    tells = Tells(assignment.study, metric)
    if assignment.prunes:
        os.environ[PRUNES] = "1"
    if earlier is not None and next(usable(resume_points(earlier.folder.checkpoints)), None):
        resume(earlier, signals, [tells])
    else:
        train(config, signals, [tells])
    assert tells.folder is not None
    return RunFolder.open(tells.folder)


@contextlib.contextmanager
def _alone(planned: Run) -> Iterator[None]:
    """Wait until no other process trains the same configuration.

    The lock is the kernel's: it ends with the process that holds it, however that ends.
    """
    locks = planned.folder.path / "sweeps" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / planned.fingerprint).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _earlier(assignment: Assignment, planned: Run) -> Run | None:
    """The run that has done this already, or was at it.

    Raises SweepError where another process is at it still.
    """
    earlier = (run_like(planned, RunFolder(Path(path))) for path in assignment.continues)
    for run in filter(None, earlier):
        # Of an attempt that the study has taken back: who was at it, on whatever machine, is gone. One who
        # were not would hold the lock of this configuration.
        if run.folder.status is Status.RUNNING:
            run.folder.update(status=Status.KILLED)
        return run
    return None if assignment.repeat else _newest(planned)


def _newest(planned: Run) -> Run | None:
    """A finished run of this configuration, else the newest one."""
    runs = list(runs_like(planned))
    at_work = [run for run in runs if run.folder.status is Status.RUNNING]
    if at_work:
        raise SweepError(
            f"{at_work[0].folder.path} trains the same at this moment: start the sweep again after it"
        )
    finished = [run for run in runs if run.folder.status is Status.FINISHED]
    return next(iter(finished or runs), None)


def measured_by(run: RunFolder, config: DictConfig) -> dict[str, float]:
    """All finite validation numbers of a finished run, at the validation whose weights were kept.

    Raises SweepError where there was no validation that could choose weights.
    """
    monitor, sign = config.monitor.metric, 1 if config.monitor.mode == "max" else -1
    validations = [row for row in rows(run.metrics) if monitor in row and row[monitor] == row[monitor]]
    if not validations:
        raise SweepError(f"{run.path} has no validation with a finite {monitor}")
    best = max(validations, key=lambda row: sign * row[monitor])
    return {
        name: float(value) for name, value in best.items() if name.startswith("val/") and math.isfinite(value)
    }


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
