"""A trial in a process that is no fork of the sweep's: plain data in, and the study told by its storage."""

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
from aelab.cluster.streams import print_to, share_cores
from aelab.config.compose import compose
from aelab.config.folders import searched_first
from aelab.core.invocation import Invocation
from aelab.core.signals import Signals
from aelab.runs.fit import quieten
from aelab.sweeps.messages import Desk
from aelab.sweeps.plan import Plan
from aelab.sweeps.repeats import train_over
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import BEAT, Record, earlier
from aelab.sweeps.trial import Assignment, assigned, carry_out, current, told_how_it_ends
from aelab.training.callbacks.study import Study


@dataclass(frozen=True)
class Order:
    """A trial to be carried out, by its number in the study; all that it prints goes to the end of `log`.

    earlier: the run folders of earlier attempts.
    """

    number: int
    overrides: tuple[str, ...]
    earlier: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Errand:
    """What all trials of a study share.

    name: of the study.  folder: the study's own.
    invocation: how one of them is trained alone.  hydra: overrides of Hydra's own options.
    """

    plan: Plan
    name: str
    folder: Path
    invocation: Invocation
    hydra: tuple[str, ...]

    def carry_out(
        self, order: Order, assignment: Assignment, train: Callable[[Sequence[str], int], None]
    ) -> None:
        """Do a trial; train: does one training by its overrides and the trial's number."""

        def one(overrides: Sequence[str]) -> None:
            self._pose_as_command(overrides)
            train(overrides, order.number)

        if self.plan.over:
            train_over(self.plan.trainings(order.overrides), assignment, one)
            return
        with assigned(assignment):
            one(order.overrides)

    def _pose_as_command(self, overrides: Sequence[str]) -> None:
        """Make this process what a command for one training alone would be.

        The run's record names that command, and Lightning starts further ranks by it.
        """
        sys.argv[:] = self.invocation.argv(self.plan.alone(overrides))
        sys.orig_argv[:] = [sys.executable, *sys.argv]
        sys.modules["__main__"].__spec__ = None  # else Lightning starts the module that started this
        ranks.leave()

    def assignment(self, study: Study, earlier: tuple[str, ...]) -> Assignment:
        """What a trial's process is asked."""
        options = self.plan.options
        prunes = options["pruner"] is not None
        return Assignment(study, self.plan.objectives, earlier, options["repeat"], prunes)

    def record(self) -> Record:
        """The study's record, for this process."""
        storage = open_storage(self.plan.options["storage"], self.folder)
        study = optuna.load_study(study_name=self.name, storage=storage, pruner=self.plan.pruner())
        return Record(study, None, 0)


def run(errand: Errand, order: Order, threads: int, worker: Mapping[str, Any]) -> None:
    """Carry out a trial and record how it ended.

    worker: by what the trial is known to be under way.

    Raises Terminated where a signal ended it: then the trial is still under way for the study.
    """
    print_to(order.log)
    share_cores(threads)
    quieten()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with Signals() as signals:
        record = errand.record()
        found = record.study.get_trials(deepcopy=False)[order.number]
        if found.state.is_finished():  # it has waited for long, and was taken back
            print(f"trial {order.number} has ended already: nothing to do")
            return
        trial = Trial(record.study, found._trial_id)
        record.note(trial, worker=dict(worker))
        with _alive(record, found._trial_id):
            _train(errand, order, Desk(record, tuple(errand.plan.objectives), trial), signals)


def _train(errand: Errand, order: Order, study: Desk, signals: Signals) -> None:
    def train(overrides: Sequence[str], number: int) -> None:
        with searched_first(errand.invocation.conf):
            config = compose([*errand.hydra, *errand.plan.alone(overrides)])
            carry_out(current(), config, signals)

    # What was begun before a requeue is newer than what the order knows.
    known = earlier(study.trial) or order.earlier
    with told_how_it_ends(study):
        errand.carry_out(order, errand.assignment(study, known), train)


@contextlib.contextmanager
def _alive(record: Record, trial_id: int) -> Iterator[None]:
    """Give signs of life meanwhile, for machines that cannot look this process up."""
    done = threading.Event()

    def beat() -> None:
        # A `Trial` of its own: the other one is used by the training.
        trial = Trial(record.study, trial_id)
        while not done.wait(BEAT):
            record.beat([trial])

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
