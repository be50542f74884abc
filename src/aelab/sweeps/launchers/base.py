"""The interface of what runs the trials of a sweep."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aelab.cluster.processes import threads_each
from aelab.sweeps.trial_process import StudyContext, TrialRequest
from aelab.training.callbacks.study_reporter import StudyChannel

MessageHandler = Callable[[int, Any], bool | None]
"""Takes a trial's number and its message, one of `sweeps.messages`, and returns the answer to it, if any."""


@dataclass(frozen=True)
class LaunchContext:
    """The study and the limits that a launcher works with.

    train: runs a trial in a fork of this process.
    study: what a process that is no fork needs besides the request.
    workers: how many trials run at a time.
    at_once: whether all trials are known from the beginning, as a grid's are.
    folder: the study's own.
    """

    train: Callable[[TrialRequest, StudyChannel], None]
    study: StudyContext
    workers: int
    at_once: bool
    folder: Path

    @property
    def threads(self) -> int:
        """The number of threads of a process where all that run at a time share this machine's cores."""
        return threads_each(self.workers * self.study.plan.ranks)


class Launcher(Protocol):
    """Runs trials, each in a process of its own, so that a death stays alone.

    Made with a `LaunchContext` and its options; raises SweepError where it cannot run here.
    """

    @property
    def free_slots(self) -> int:
        """The number of trials that can be started now."""
        ...

    def start(self, requests: Sequence[TrialRequest]) -> None:
        """Start trials; all that they print goes to the end of their logs."""
        ...

    def poll(self, seconds: float, handle: MessageHandler) -> None:
        """Hand the messages that trials send within a time to `handle`, and its answers back to them.

        The last message of each is a `ProcessEnded`, and the only one of a trial that writes to the storage
        itself.
        """
        ...

    def stop(self) -> str:
        """Leave the trials where they can be continued; a sentence for the user on how."""
        ...
