"""A sweep from its command line to its table: trials are taken, run, and recorded until none is left."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from aelab.callbacks.signals import Signals, Terminated
from aelab.errors import SweepError
from aelab.runs import ranks
from aelab.runs.session import quieten
from aelab.sweeps.job import Composer
from aelab.sweeps.plan import Plan, plan
from aelab.sweeps.pool import Message, Pool
from aelab.sweeps.search_space import suggest
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import BEAT, FAILED, KILLED, Record, default_name, open_study
from aelab.sweeps.table import progress, report, show_plan
from aelab.sweeps.trial import Assignment, assigned

PATIENCE = 0.5
"""Seconds after which a process with nothing to do looks what the others left it."""


def sweep(composer: Composer, arguments: list[str]) -> None:
    """Run a study, or what of it is left; prints the trials and a table of them.

    Raises:
        ConfigurationError, SweepError: the study cannot begin; nothing has been started then.
        SweepError: trials have failed for good; all others are done.
    """
    quieten()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = plan(composer, arguments)
    name = made.options["study"] or default_name(made.method, made.whole_question)
    folder = made.outputs / "sweeps" / name
    if made.options["dry_run"]:
        show_plan(made, name)
        return
    study = open_study(name, open_storage(made.options["storage"], folder), made.objectives, made.question)
    study.sampler, study.pruner = made.sampler() or study.sampler, made.pruner()
    record = Record(study, None if made.is_grid else made.options["trials"], made.options["retries"])
    if made.is_grid:
        record.add(made.points())
    folder.mkdir(parents=True, exist_ok=True)
    with Signals() as signals:
        signals.deferred = True
        Worker(composer, made, record, folder, signals).work()
    report(made, record, folder)
    failed = sum(trial.state is TrialState.FAIL for trial in record.latest())
    if failed:
        raise SweepError(
            f"{failed} of {len(record.latest())} trials failed (the table says why, {folder} has what they "
            f"printed): sweep.retries={made.options['retries'] + 1} tries them again"
        )


@dataclass
class Worker:
    """What one process does for a study."""

    composer: Composer
    plan: Plan
    record: Record
    folder: Path
    signals: Signals
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    beaten: float = 0.0

    def __post_init__(self) -> None:
        self.pool = Pool(self.plan.options["workers"], self.plan.ranks, self.plan.gpus())

    def work(self) -> None:
        """Until nothing of the study is open, or a signal asks to stop."""
        while self.record.open() or self.trials:
            while self.pool.free and (trial := self.record.take()) is not None:
                self.start(trial)
            for number, message in self.pool.messages(PATIENCE):
                self.hear(number, message)
            if not self.trials:
                time.sleep(PATIENCE if self.record.open() else 0)
            self.beat()
            if self.signals.received is not None:
                self.pool.stop()
                print("stopped: the same command continues the study", file=sys.stderr)
                raise Terminated(self.signals.received)

    def start(self, trial: Trial) -> None:
        """Begin a trial in a process of its own."""
        overrides = trial.user_attrs.get("overrides")
        if overrides is None:
            overrides = self.plan.overrides(suggest(trial, self.plan.space))
            trial.set_user_attr("overrides", overrides)
        self.trials[trial.number] = trial
        log = self.folder / f"trial-{trial.number:04d}.log"
        self.pool.start(trial.number, partial(self._train, list(overrides), trial), log)

    def _train(self, overrides: list[str], trial: Trial, study: Connection) -> None:
        """In the trial's process, whose record names the command of this training alone."""
        sys.argv[1:] = self.plan.alone(overrides)  # by which Lightning starts its other ranks
        sys.orig_argv[:] = [sys.executable, *sys.argv]
        ranks.leave()
        assignment = Assignment(
            study,
            self.plan.objectives,
            trial.user_attrs.get("run"),
            self.plan.options["repeat"],
            self.plan.options["pruner"] is not None,
        )
        with assigned(assignment):
            self.composer.run(overrides, trial.number)

    def hear(self, number: int, message: Message) -> None:
        """Act on what a trial's process says."""
        trial, (kind, *rest) = self.trials[number], message
        if kind == "run":
            trial.set_user_attr("run", rest[0])
        elif kind == "known":
            self.note(trial, run=rest[0], known=True)
        elif kind == "report":
            trial.report(rest[1], rest[0])
            self.pool.answer(number, trial.should_prune())
        elif kind == "end":
            self.end(trial, TrialState.COMPLETE, values=self._values(rest[0]))
        elif kind == "pruned":
            self.end(trial, TrialState.PRUNED, error=rest[0])
        elif kind == "failed":
            self.end(trial, TrialState.FAIL, reason=FAILED, error=rest[0])
        else:
            self.gone(trial, rest[0])

    def gone(self, trial: Trial, code: int) -> None:
        """A trial's process has ended; where it had not said how, it was killed."""
        if trial.number not in self.ended and self.signals.received is None:
            self.end(trial, TrialState.FAIL, reason=KILLED, error=_death(code))
        del self.trials[trial.number]

    def note(self, trial: Trial, **facts: Any) -> None:
        """Keep facts of a trial."""
        for name, value in facts.items():
            trial.set_user_attr(name, value)

    def end(self, trial: Trial, state: TrialState, **facts: Any) -> None:
        """Record and print how a trial ended."""
        self.ended.add(trial.number)
        self.record.end(trial, state, **facts)
        progress(self.plan, self.record, trial.number)

    def beat(self) -> None:
        """Tell other machines that this process lives."""
        if time.monotonic() - self.beaten > BEAT:
            self.record.beat(self.trials.values())
            self.beaten = time.monotonic()

    def _values(self, values: Mapping[str, float]) -> list[float]:
        return [values[name] for name in self.plan.objectives]


def _death(code: int) -> str:
    if code == -9:
        return "killed by signal 9, as the system does where memory runs out"
    return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code} before it was done"
