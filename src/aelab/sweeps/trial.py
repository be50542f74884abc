"""One trial in its own process: the run that it makes or continues, and the values that the study gets."""

import contextlib
import fcntl
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from aelab.config.identity import fingerprint
from aelab.config.recorded import settings_of
from aelab.core.errors import AelabError, SweepError
from aelab.core.paths import from_user
from aelab.core.signals import Signals, Terminated
from aelab.core.text import sentence
from aelab.loggers.jsonl import rows
from aelab.runs.fit import PRUNES
from aelab.runs.folder import RunFolder, Status
from aelab.runs.train import resume, start
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
    mark = fingerprint(config)
    with _locked(from_user(config.outputs), mark):
        run = _earlier_run(assignment, config, mark)
        if run is not None and run.status is Status.FINISHED:
            assignment.channel.send(RunKnown(str(run.path)))
        else:
            run = _trained(assignment, config, run, signals)
    measured = validation_metrics(run, config)
    values = objective_values(measured, assignment.objectives, config)
    assignment.channel.send(TrialFacts({"measured": {name: [value] for name, value in measured.items()}}))
    assignment.channel.send(TrialCompleted(values))


def _trained(
    assignment: Assignment, config: DictConfig, earlier: RunFolder | None, signals: Signals
) -> RunFolder:
    metric = next(iter(assignment.objectives), config.monitor.metric) if assignment.prunes else None
    reporter = StudyReporter(assignment.channel, metric)
    if assignment.prunes:
        os.environ[PRUNES] = "1"
    if earlier is not None and next(usable(resume_points(earlier.checkpoints)), None):
        resume(earlier.path, signals, [reporter])
    else:
        start(config, signals, [reporter])
    assert reporter.folder is not None
    return RunFolder.open(reporter.folder)


@contextlib.contextmanager
def _locked(outputs: Path, mark: str) -> Iterator[None]:
    """Wait until no other process trains the same configuration.

    The lock is the kernel's: it ends with the process that holds it, however that ends.
    """
    folder = outputs / "sweeps" / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / mark).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _earlier_run(assignment: Assignment, config: DictConfig, mark: str) -> RunFolder | None:
    """The run of this configuration that is finished or was begun; None where there is none.

    Raises SweepError where another process is still training it.
    """
    for run in map(RunFolder, map(Path, assignment.continues)):
        if run.record.is_file() and _matches(run, config, mark):
            return _reclaimed(run)
    return None if assignment.repeat else _newest_run(from_user(config.outputs), config, mark)


def _reclaimed(run: RunFolder) -> RunFolder:
    """A run of an attempt that the study has reclaimed: its process, on whatever machine, is gone.

    Else that process would hold the lock of this configuration.
    """
    if run.status is Status.RUNNING:
        run.update(status=Status.KILLED)
    return run


def _newest_run(outputs: Path, config: DictConfig, mark: str) -> RunFolder | None:
    """A finished run of this configuration, else the newest one."""
    runs = [run for run in RunFolder.named(outputs, str(config.name)) if _matches(run, config, mark)]
    at_work = [run for run in runs if run.status is Status.RUNNING]
    if at_work:
        raise SweepError(f"{at_work[0].path} trains the same at this moment: start the sweep again after it")
    finished = [run for run in runs if run.status is Status.FINISHED]
    return next(iter(finished or runs), None)


def _matches(run: RunFolder, config: DictConfig, mark: str) -> bool:
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


def validation_metrics(run: RunFolder, config: DictConfig) -> dict[str, float]:
    """The finite validation numbers of a finished run, at the validation whose weights were kept.

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


def objective_values(
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
