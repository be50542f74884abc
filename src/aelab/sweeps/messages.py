"""The messages of a trial to its study, which the sweep or the trial itself writes into the record."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from aelab.core.errors import SweepError
from aelab.core.text import first_line
from aelab.sweeps.study import FAILED, StudyRecord
from aelab.training.callbacks.study_reporter import RunStarted, ValidationReport


@dataclass(frozen=True)
class TrialFacts:
    """Attributes to be kept with the trial, by name."""

    facts: Mapping[str, Any]


@dataclass(frozen=True)
class RunKnown:
    """The folder of a finished run that has the trial's configuration, so that nothing is trained."""

    folder: str


@dataclass(frozen=True)
class TrialCompleted:
    """The values of the objectives, by name."""

    values: Mapping[str, float]


@dataclass(frozen=True)
class TrialPruned:
    """The reason why a trial was pruned."""

    reason: str


@dataclass(frozen=True)
class TrialFailed:
    """The error that ended a trial."""

    error: str


@dataclass(frozen=True)
class ProcessEnded:
    """The launcher's message that a trial's process is gone.

    error, reason: why, as a sentence and as one of the reasons of `study`, if the trial has not ended before.
    """

    error: str
    reason: str


OUTCOMES = (TrialCompleted, TrialPruned, TrialFailed)
"""The messages after which a trial sends nothing more."""


def record_message(
    record: StudyRecord, objectives: Collection[str], trial: Trial, message: Any
) -> bool | None:
    """Write a trial's message into the record; the answer to a `ValidationReport` is whether to stop.

    objectives: by which all trials are judged; empty: each by the one that it sends.
    """
    match message:
        case TrialFacts(facts):
            record.set_facts(trial, **facts)
        case RunStarted(folder):
            record.set_facts(trial, run=folder)
        case RunKnown(folder):
            record.set_facts(trial, run=folder, known=True)
        case ValidationReport(validation, value):
            try:
                trial.report(value, validation)
                return trial.should_prune()
            except UpdateFinishedTrialError:  # another process has reclaimed it meanwhile
                return True
        case TrialCompleted(values):
            record.end(trial, TrialState.COMPLETE, [values[name] for name in objectives or values])
        case TrialPruned(reason):
            record.end(trial, TrialState.PRUNED, error=reason)
        case TrialFailed(error):
            record.end(trial, TrialState.FAIL, reason=FAILED, error=error)
        case _:
            raise TypeError(f"{message} is no message of a trial")
    return None


@dataclass
class StorageChannel:
    """The `StudyChannel` of a trial whose own process writes into the study's storage."""

    record: StudyRecord
    objectives: tuple[str, ...]
    trial: Trial
    answer: bool | None = None

    def send(self, message: Any, /) -> None:
        """Record a message; SweepError where the storage cannot be written."""
        try:
            self.answer = record_message(self.record, self.objectives, self.trial, message)
        except (OSError, StorageInternalError) as error:
            raise SweepError(f"the study's storage cannot be written ({first_line(error)})") from error

    def recv(self) -> bool | None:
        """The answer to the last message."""
        return self.answer
