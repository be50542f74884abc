"""A sweep from its command line to its table: trials are taken, run, and recorded until none is left."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from hydra.utils import instantiate
from optuna.trial import Trial, TrialState

from aelab.cluster import slurm
from aelab.core.errors import SweepError
from aelab.core.invocation import invocation
from aelab.core.signals import Signals, Terminated
from aelab.runs.fit import quieten
from aelab.sweeps.composer import Composer
from aelab.sweeps.launchers.launcher import Launcher, Message, Site
from aelab.sweeps.messages import ENDS, tell
from aelab.sweeps.parse import plan
from aelab.sweeps.plan import Plan
from aelab.sweeps.report import progress, report, show_plan
from aelab.sweeps.request import Errand, Order
from aelab.sweeps.search_space import suggest
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import BEAT, Record, default_name, earlier, open_study
from aelab.training.callbacks.study import Study

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
    name = str(made.options["study"] or default_name(made.method, made.whole_question))
    folder = made.outputs / "sweeps" / name
    if made.options["dry_run"]:
        show_plan(made, composer, name)
        return
    errand = Errand(made, name, folder, invocation(), composer.hydra)
    launcher = launcher_of(errand, composer)
    study = open_study(name, open_storage(made.options["storage"], folder), made.objectives, made.question)
    study.sampler, study.pruner = made.sampler() or study.sampler, made.pruner()
    record = Record(study, None if made.is_grid else made.options["trials"], made.options["retries"])
    if made.is_grid:
        record.add(made.points())
    folder.mkdir(parents=True, exist_ok=True)
    with slurm.requeued(), Signals() as signals:
        signals.deferred = True
        Worker(launcher, made, record, folder, signals).work()
    report(made, record, folder)
    failed = sum(trial.state is TrialState.FAIL for trial in record.latest())
    if failed:
        raise SweepError(
            f"{failed} of {len(record.latest())} trials failed (the table says why, {folder} has what they "
            f"printed): sweep.retries={made.options['retries'] + 1} tries them again"
        )


def launcher_of(errand: Errand, composer: Composer) -> Launcher:
    """What runs the trials of a plan; SweepError where it cannot run here."""

    def train(order: Order, study: Study) -> None:
        errand.carry_out(order, errand.assignment(study, order.earlier), composer.run)

    made = errand.plan
    site = Site(train, errand, made.options["workers"], made.is_grid, errand.folder)
    return instantiate(made.launcher)(site)


@dataclass
class Worker:
    """What one process does for a study."""

    launcher: Launcher
    plan: Plan
    record: Record
    folder: Path
    signals: Signals
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    beaten: float = 0.0

    def work(self) -> None:
        """Until nothing of the study is open, or a signal asks to stop; no trial outlasts an error here."""
        try:
            self.go_on()
        except BaseException:
            print(f"stopped: {self.launcher.stop()}", file=sys.stderr)
            raise

    def go_on(self) -> None:
        """Start trials and hear of them, for as long as there are any."""
        while self.record.open() or self.trials:
            self.begin()
            self.launcher.listen(PATIENCE, self.hear)
            if not self.trials:
                time.sleep(PATIENCE if self.record.open() else 0)
            self.beat()
            if self.signals.received is not None:
                raise Terminated(self.signals.received)

    def begin(self) -> None:
        """Start all trials that can begin."""
        orders: list[Order] = []
        while len(orders) < self.launcher.room and (trial := self.record.take(self.trials)) is not None:
            self.trials[trial.number] = trial
            orders.append(self.order(trial))
        if orders:
            self.launcher.start(orders)

    def order(self, trial: Trial) -> Order:
        """What is to be carried out for a trial."""
        if not self.plan.is_grid:  # the sampler learns also by another attempt, whose values are given
            drawn = self.plan.overrides(suggest(trial, self.plan.space))
            if "overrides" not in trial.user_attrs:
                trial.set_user_attr("overrides", drawn)
        overrides = trial.user_attrs["overrides"]
        log = self.folder.resolve() / f"trial-{trial.number:04d}.log"
        return Order(trial.number, tuple(overrides), earlier(trial), log)

    def hear(self, number: int, message: Message) -> bool | None:
        """Act on what is heard of a trial; the answer to it, where it waits for one."""
        trial, (kind, *rest) = self.trials[number], message
        if kind == "gone":
            self.gone(trial, *rest)
            return None
        answer = tell(self.record, self.plan.objectives, trial, message)
        if kind in ENDS:
            self.show(trial)
        return answer

    def gone(self, trial: Trial, why: str, reason: str) -> None:
        """A trial's process has ended; why and for which reason, where it had not said how."""
        if trial.number not in self.ended and self.signals.received is None:
            self.record.end(trial, TrialState.FAIL, reason=reason, error=why)
            self.show(trial)
        del self.trials[trial.number]

    def show(self, trial: Trial) -> None:
        """Print how a trial ended."""
        self.ended.add(trial.number)
        progress(self.plan, self.record, trial.number)

    def beat(self) -> None:
        """Tell other machines that this process lives."""
        if time.monotonic() - self.beaten > BEAT:
            self.record.beat(self.trials.values())
            self.beaten = time.monotonic()
