"""The process of one trial: the plain data that it needs, and its course where it is no fork of the sweep."""

import contextlib
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial

from aelab.cluster import ranks
from aelab.cluster.processes import print_to, share_cores
from aelab.config.compose import compose
from aelab.config.folders import searched_first
from aelab.core.invocation import Invocation
from aelab.core.signals import Signals
from aelab.runs.fit import quieten
from aelab.sweeps.messages import StorageChannel
from aelab.sweeps.plan import Plan
from aelab.sweeps.repeats import train_repeats
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import HEARTBEAT, StudyRecord, run_folders
from aelab.sweeps.trial import Assignment, assigning, current_assignment, reporting_outcome, run_trial
from aelab.training.callbacks.study_reporter import StudyChannel


@dataclass(frozen=True)
class TrialRequest:
    """A trial to be run, by its number in the study; all that it prints goes to the end of `log`.

    folders: the run folders of its earlier attempts.
    """

    number: int
    overrides: tuple[str, ...]
    folders: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class StudyContext:
    """The plan, the names and the options that all trials of a study share.

    name: of the study.  folder: the study's own.
    invocation: of the command that trains one of them alone.  hydra: overrides of Hydra's own options.
    """

    plan: Plan
    name: str
    folder: Path
    invocation: Invocation
    hydra: tuple[str, ...]

    def run(
        self, request: TrialRequest, assignment: Assignment, train: Callable[[Sequence[str], int], None]
    ) -> None:
        """Run a trial; train: runs one training by its overrides and the trial's number."""

        def train_one(overrides: Sequence[str]) -> None:
            self._pose_as_command(overrides)
            train(overrides, request.number)

        if self.plan.over:
            train_repeats(self.plan.trainings(request.overrides), assignment, train_one)
            return
        with assigning(assignment):
            train_one(request.overrides)

    def _pose_as_command(self, overrides: Sequence[str]) -> None:
        """Make this process what a command for one training alone would be.

        The run's record names that command, and Lightning starts further ranks by it.
        """
        sys.argv[:] = self.invocation.argv(self.plan.single_training(overrides))
        sys.orig_argv[:] = [sys.executable, *sys.argv]
        sys.modules["__main__"].__spec__ = None  # else Lightning starts the module that started this
        ranks.forget_ranks()

    def assignment(self, channel: StudyChannel, folders: tuple[str, ...]) -> Assignment:
        """The assignment of a trial that has these run folders of earlier attempts."""
        options = self.plan.options
        prunes = options["pruner"] is not None
        return Assignment(channel, self.plan.objectives, folders, options["repeat"], prunes)

    def open_record(self) -> StudyRecord:
        """The study's record, opened by this process."""
        storage = open_storage(self.plan.options["storage"], self.folder)
        study = optuna.load_study(study_name=self.name, storage=storage, pruner=self.plan.pruner())
        return StudyRecord(study, None, 0)


def run_in_own_process(
    context: StudyContext, request: TrialRequest, threads: int, worker: Mapping[str, Any]
) -> None:
    """Run a trial and record how it ended, in a process that was started for it.

    worker: the process or the job by which others can look up whether the trial is under way.

    Raises Terminated where a signal ended it: then the trial is still under way for the study.
    """
    print_to(request.log)
    share_cores(threads)
    quieten()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with Signals() as signals:
        record = context.open_record()
        found = record.study.get_trials(deepcopy=False)[request.number]
        if found.state.is_finished():  # it has waited for long, and was reclaimed
            print(f"trial {request.number} has ended already: nothing to do")
            return
        trial = Trial(record.study, found._trial_id)
        record.set_facts(trial, worker=dict(worker))
        with _heartbeats(record, found._trial_id):
            channel = StorageChannel(record, tuple(context.plan.objectives), trial)
            _train(context, request, channel, signals)


def _train(context: StudyContext, request: TrialRequest, channel: StorageChannel, signals: Signals) -> None:
    def train(overrides: Sequence[str], number: int) -> None:
        with searched_first(context.invocation.conf, context.invocation.trust):
            config = compose([*context.hydra, *context.plan.single_training(overrides)])
            run_trial(current_assignment(), config, signals)

    # A run that was begun before a requeue is newer than the request.
    folders = run_folders(channel.trial) or request.folders
    with reporting_outcome(channel):
        context.run(request, context.assignment(channel, folders), train)


@contextlib.contextmanager
def _heartbeats(record: StudyRecord, trial_id: int) -> Iterator[None]:
    """Record heartbeats meanwhile, for machines that cannot look this process up."""
    done = threading.Event()

    def beat() -> None:
        # A `Trial` of its own: the other one is used by the training.
        trial = Trial(record.study, trial_id)
        while not done.wait(HEARTBEAT):
            record.heartbeat([trial])

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
