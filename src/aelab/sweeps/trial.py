"""One trial in its own process: the run that it makes or continues, and the values that the study gets."""

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

from omegaconf import DictConfig

from aelab.core.errors import AelabError, SweepError
from aelab.core.signals import Signals, Terminated
from aelab.core.text import sentence
from aelab.loggers.jsonl import rows
from aelab.runs.find import run_like, runs_like
from aelab.runs.fit import PRUNES
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.train import resume, train
from aelab.sweeps.messages import RunKnown, TrialCompleted, TrialFacts, TrialFailed, TrialPruned
from aelab.training.callbacks.study_reporter import Pruned, StudyChannel, StudyReporter
from aelab.training.checkpoints import resume_points, usable


@dataclass(frozen=True)
class Assignment:
    """A trial as its process has to run it, besides its configuration.

    channel: to the study.
    objectives: direction of each validation number; empty: the run's own `monitor`.
    continues: the run folders of an earlier attempt.
    repeat: whether to run again what any other run has done.
    prunes: whether the study wants the number after every validation.
    """

    channel: StudyChannel
    objectives: Mapping[str, str]
    continues: tuple[str, ...]
    repeat: bool
    prunes: bool


_assignment: Assignment | None = None


@contextlib.contextmanager
def assigning(assignment: Assignment) -> Iterator[None]:
    """Make the training inside one of a trial with this assignment."""
    global _assignment
    _assignment = assignment
    try:
        yield
    finally:
        _assignment = None


def current_assignment() -> Assignment:
    """The assignment of the trial that this process runs.

    Raises SweepError where a sweeper of another kind has started it.
    """
    if _assignment is None:
        raise SweepError("this training is no trial of a study: leave out hydra/sweeper=...")
    return _assignment


@contextlib.contextmanager
def reporting_outcome(channel: StudyChannel) -> Iterator[None]:
    """Send the study whatever ends the trial inside, except a signal, after which it can be continued."""
    try:
        yield
    except Pruned as reason:
        channel.send(TrialPruned(str(reason)))
    except Terminated:
        raise
    except BaseException as error:
        if not isinstance(error, AelabError):
            traceback.print_exc()
        channel.send(TrialFailed(f"{type(error).__name__}: {sentence(error)}"))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def run_trial(assignment: Assignment, config: DictConfig, signals: Signals) -> None:
    """Train a configuration, from where it was left, unless that is done; send the study its values."""
    planned = Run.planned(config)
    with _locked(planned):
        run = _earlier_run(assignment, planned)
        if run is not None and run.folder.status is Status.FINISHED:
            folder = run.folder
            assignment.channel.send(RunKnown(str(folder.path)))
        else:
            folder = _trained(assignment, config, run, signals)
    measured = validation_metrics(folder, config)
    values = objective_values(measured, assignment.objectives, config)
    facts = {"measured": {name: [value] for name, value in measured.items()}, "judged": list(values)}
    assignment.channel.send(TrialFacts(facts))
    assignment.channel.send(TrialCompleted(values))


def _trained(assignment: Assignment, config: DictConfig, earlier: Run | None, signals: Signals) -> RunFolder:
    metric = next(iter(assignment.objectives), config.monitor.metric) if assignment.prunes else None
    reporter = StudyReporter(assignment.channel, metric)
    if assignment.prunes:
        os.environ[PRUNES] = "1"
    if earlier is not None and next(usable(resume_points(earlier.folder.checkpoints)), None):
        resume(earlier, signals, [reporter])
    else:
        train(config, signals, [reporter])
    assert reporter.folder is not None
    return RunFolder.open(reporter.folder)


@contextlib.contextmanager
def _locked(planned: Run) -> Iterator[None]:
    """Wait until no other process trains the same configuration.

    The lock is the kernel's: it ends with the process that holds it, however that ends.
    """
    locks = planned.folder.path / "sweeps" / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    with (locks / planned.fingerprint).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _earlier_run(assignment: Assignment, planned: Run) -> Run | None:
    """The run of this configuration that is finished or was begun; None where there is none.

    Raises SweepError where another process is still training it.
    """
    earlier = (run_like(planned, RunFolder(Path(path))) for path in assignment.continues)
    if (run := next(filter(None, earlier), None)) is not None:
        _reclaim(run.folder)
        return run
    return None if assignment.repeat else _newest_run(planned)


def _reclaim(folder: RunFolder) -> None:
    """End a run of an attempt that the study has reclaimed: its process, on whatever machine, is gone.

    Else that process would hold the lock of this configuration.
    """
    if folder.status is Status.RUNNING:
        folder.update(status=Status.KILLED)


def _newest_run(planned: Run) -> Run | None:
    """A finished run of this configuration, else the newest one."""
    runs = list(runs_like(planned))
    at_work = [run for run in runs if run.folder.status is Status.RUNNING]
    if at_work:
        raise SweepError(
            f"{at_work[0].folder.path} trains the same at this moment: start the sweep again after it"
        )
    finished = [run for run in runs if run.folder.status is Status.FINISHED]
    return next(iter(finished or runs), None)


def validation_metrics(run: RunFolder, config: DictConfig) -> dict[str, float]:
    """The finite validation numbers of a finished run, at the validation whose weights were kept.

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
    validations: dict[int, dict[str, Any]] = {}  # by step: a validation may have several lines
    for row in journal:
        if any(key.startswith("val/") for key in row):
            validations.setdefault(row["step"], {}).update(row)
    if name is None:
        return next(reversed(validations.values()), None)
    finite = (row for row in validations.values() if name in row and row[name] == row[name])
    return max(finite, key=lambda row: sign * row[name], default=None)


def objective_values(
    measured: Mapping[str, float], objectives: Mapping[str, str], config: DictConfig
) -> dict[str, float]:
    """The objectives among what was measured; SweepError where one is not there.

    Without any it is what the weights were chosen by, or else the first number, which chooses nothing.
    """
    wanted = list(objectives) or [config.monitor.metric or next(iter(measured), "a validation's number")]
    for name in wanted:
        if name not in measured:
            raise SweepError(
                f"sweep.objectives: {name} is not measured for this model, or not finite; there are "
                f"{', '.join(measured)}"
            )
    return {name: measured[name] for name in wanted}
