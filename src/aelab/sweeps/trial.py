"""One trial in its own process: the run that it makes or continues, and what it tells the study."""

import contextlib
import fcntl
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from aelab.callbacks.signals import Signals, Terminated
from aelab.callbacks.study import Pruned, Study, Tells
from aelab.errors import AelabError, SweepError
from aelab.journal import rows
from aelab.runs.folder import RunFolder, Status
from aelab.runs.session import PRUNES
from aelab.runs.train import resume, start
from aelab.runs.weights import fingerprint
from aelab.training.checkpoints import resume_points, usable


@dataclass(frozen=True)
class Assignment:
    """What a trial's process is asked, besides its configuration.

    study: where to tell how it goes.
    objectives: direction of each validation number; empty: the run's own `monitor`.
    continues: the run folder of an earlier attempt.
    repeat: whether to run again what any other run has done.
    prunes: whether the study wants the number after every validation.
    """

    study: Study
    objectives: Mapping[str, str]
    continues: str | None
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
    with _alone(Path(config.outputs), mark):
        run = _earlier(assignment, config, mark)
        if run is not None and run.status is Status.FINISHED:
            assignment.study.send(("known", str(run.path)))
        else:
            run = _trained(assignment, config, run, signals)
    assignment.study.send(("end", values_of(run, assignment.objectives, config)))


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
    if assignment.continues and (Path(assignment.continues) / "record.json").is_file():
        return RunFolder.open(Path(assignment.continues))
    return None if assignment.repeat else _newest(Path(config.outputs), config, mark)


def _newest(outputs: Path, config: DictConfig, mark: str) -> RunFolder | None:
    """A finished run of this configuration, else the newest one."""
    runs = [run for run in RunFolder.named(outputs, str(config.name)) if _is_of(run, mark)]
    at_work = [run for run in runs if run.status is Status.RUNNING]
    if at_work:
        raise SweepError(f"{at_work[0].path} trains the same at this moment: start the sweep again after it")
    finished = [run for run in runs if run.status is Status.FINISHED]
    return next(iter(finished or runs), None)


def _is_of(run: RunFolder, mark: str) -> bool:
    with contextlib.suppress(AelabError, ValueError):
        return run.read().get("fingerprint") == mark
    return False


def values_of(run: RunFolder, objectives: Mapping[str, str], config: DictConfig) -> dict[str, float]:
    """A finished run's objectives, at the validation whose weights were kept.

    Raises SweepError where one was not measured.
    """
    monitor, sign = config.monitor.metric, 1 if config.monitor.mode == "max" else -1
    validations = [row for row in rows(run.metrics) if monitor in row and row[monitor] == row[monitor]]
    if not validations:
        raise SweepError(f"{run.path} has no validation with a finite {monitor}")
    best = max(validations, key=lambda row: sign * row[monitor])
    wanted = list(objectives) or [monitor]
    for name in wanted:
        if name not in best:
            measured = ", ".join(key for key in best if key.startswith("val/"))
            raise SweepError(f"sweep.objectives: {name} is not measured for this model; there are {measured}")
    return {name: float(best[name]) for name in wanted}
