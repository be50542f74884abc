"""What a trial says of itself, written into the study's record by the sweep or by the trial's own process."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.trial import Trial, TrialState

from aelab.core.errors import SweepError
from aelab.sweeps.study import FAILED, Record

ENDS = ("end", "pruned", "failed")
"""The messages after which a trial has nothing more to say."""


def tell(record: Record, objectives: Iterable[str], trial: Trial, message: tuple[Any, ...]) -> bool | None:
    """Record a message of a trial; to a ("report", validation, value) the answer is whether to stop."""
    kind, *rest = message
    if kind == "worker":
        record.note(trial, worker=rest[0])
    elif kind == "run":
        record.note(trial, run=rest[0])
    elif kind == "note":
        record.note(trial, **rest[0])
    elif kind == "known":
        record.note(trial, run=rest[0], known=True)
    elif kind == "report":
        try:
            trial.report(rest[1], rest[0])
            return trial.should_prune()
        except UpdateFinishedTrialError:  # it was taken back meanwhile, and is another's
            return True
    elif kind == "end":
        record.end(trial, TrialState.COMPLETE, [rest[0][name] for name in objectives])
    elif kind == "pruned":
        record.end(trial, TrialState.PRUNED, error=rest[0])
    elif kind == "failed":
        record.end(trial, TrialState.FAIL, reason=FAILED, error=rest[0])
    else:
        raise ValueError(f"no trial says {kind}")
    return None


@dataclass
class Desk:
    """A `callbacks.study.Study` for the trial's own process, which writes into the record itself."""

    record: Record
    objectives: tuple[str, ...]
    trial: Trial
    reply: bool | None = None

    def send(self, obj: Any) -> None:
        """Record a message; SweepError where the storage cannot be written."""
        try:
            self.reply = tell(self.record, self.objectives, self.trial, obj)
        except (OSError, StorageInternalError) as error:
            reason = str(error).strip().splitlines()[0]
            raise SweepError(f"the study's storage cannot be written ({reason})") from error

    def recv(self) -> bool | None:
        """The answer to the last message."""
        return self.reply
