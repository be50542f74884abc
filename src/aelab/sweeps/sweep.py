"""A sweep from its command line to its table: trials are claimed, run and recorded until none is left."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial, TrialState

from aelab.cluster import slurm
from aelab.config.construct import construct
from aelab.core.errors import SweepError
from aelab.core.invocation import invocation
from aelab.core.signals import Signals, Terminated
from aelab.runs.fit import quieten
from aelab.sweeps.hydra_jobs import HydraJobs
from aelab.sweeps.launchers.base import LaunchContext, Launcher
from aelab.sweeps.messages import OUTCOMES, ProcessEnded, record_message
from aelab.sweeps.parse import parse_plan
from aelab.sweeps.plan import Plan
from aelab.sweeps.report import progress, report, show_plan
from aelab.sweeps.search_space import suggest
from aelab.sweeps.storage import open_storage
from aelab.sweeps.study import HEARTBEAT, StudyRecord, default_name, open_study, run_folders
from aelab.sweeps.trial_process import StudyContext, TrialRequest
from aelab.training.callbacks.study_reporter import StudyChannel

POLL = 0.5
"""Seconds between two looks at the study of a process that has nothing to run."""


def sweep(jobs: HydraJobs, arguments: list[str]) -> None:
    """Run the trials that a study still lacks; prints each and a table of all.

    Raises:
        ConfigurationError, SweepError: the study cannot begin; nothing has been started then.
        SweepError: trials have failed for good; all others are done.
    """
    quieten()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = parse_plan(jobs, arguments)
    name = str(made.options["study"] or default_name(made.method, made.full_question))
    folder = made.outputs / "sweeps" / name
    if made.options["dry_run"]:
        show_plan(made, jobs, name)
        return
    context = StudyContext(made, name, folder, invocation(), jobs.hydra_overrides)
    launcher = make_launcher(context, jobs)
    study = open_study(name, open_storage(made.options["storage"], folder), made.objectives, made.question)
    study.sampler, study.pruner = made.sampler() or study.sampler, made.pruner()
    record = StudyRecord(study, None if made.is_grid else made.options["trials"], made.options["retries"])
    if made.is_grid:
        record.enqueue(made.points())
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


def make_launcher(context: StudyContext, jobs: HydraJobs) -> Launcher:
    """The launcher of a plan; SweepError where it cannot run here."""

    def train(request: TrialRequest, channel: StudyChannel) -> None:
        context.run(request, context.assignment(channel, request.folders), jobs.run)

    plan = context.plan
    launch = LaunchContext(train, context, plan.options["workers"], plan.is_grid, context.folder)
    return construct(plan.launcher, "launcher")(launch)


@dataclass
class Worker:
    """The share of one process in a study: trials are claimed, started, followed and recorded.

    trials: those that this process has started, by number.  ended: of those, the ones whose end is recorded.
    """

    launcher: Launcher
    plan: Plan
    record: StudyRecord
    folder: Path
    signals: Signals
    trials: dict[int, Trial] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)
    last_heartbeat: float = 0.0

    def work(self) -> None:
        """Run trials until the study has none, or a signal arrives; no trial outlasts an error here."""
        try:
            self._run_trials()
        except BaseException:
            print(f"stopped: {self.launcher.stop()}", file=sys.stderr)
            raise

    def _run_trials(self) -> None:
        while self.record.is_open() or self.trials:
            self._start_trials()
            self.launcher.poll(POLL, self.handle)
            if not self.trials:
                time.sleep(POLL if self.record.is_open() else 0)
            self._heartbeat()
            if self.signals.received is not None:
                raise Terminated(self.signals.received)

    def _start_trials(self) -> None:
        requests: list[TrialRequest] = []
        while (
            len(requests) < self.launcher.free_slots and (trial := self.record.claim(self.trials)) is not None
        ):
            self.trials[trial.number] = trial
            requests.append(self._request(trial))
        if requests:
            self.launcher.start(requests)

    def _request(self, trial: Trial) -> TrialRequest:
        if not self.plan.is_grid:  # the sampler learns also by another attempt, whose values are given
            drawn = self.plan.overrides(suggest(trial, self.plan.space))
            if "overrides" not in trial.user_attrs:
                trial.set_user_attr("overrides", drawn)
        overrides = trial.user_attrs["overrides"]
        log = self.folder.resolve() / f"trial-{trial.number:04d}.log"
        return TrialRequest(trial.number, tuple(overrides), run_folders(trial), log)

    def handle(self, number: int, message: Any) -> bool | None:
        """Record a message of a trial or of its launcher; the answer to it, where the trial waits for one."""
        trial = self.trials[number]
        if isinstance(message, ProcessEnded):
            self._close(trial, message)
            return None
        answer = record_message(self.record, self.plan.objectives, trial, message)
        if isinstance(message, OUTCOMES):
            self._show(trial)
        return answer

    def _close(self, trial: Trial, message: ProcessEnded) -> None:
        """Forget a trial whose process has ended; it has failed where it has not reported another outcome."""
        if trial.number not in self.ended and self.signals.received is None:
            self.record.end(trial, TrialState.FAIL, reason=message.reason, error=message.error)
            self._show(trial)
        del self.trials[trial.number]

    def _show(self, trial: Trial) -> None:
        """Print how a trial ended."""
        self.ended.add(trial.number)
        progress(self.plan, self.record, trial.number)

    def _heartbeat(self) -> None:
        """Record for other machines that this process lives."""
        if time.monotonic() - self.last_heartbeat > HEARTBEAT:
            self.record.heartbeat(self.trials.values())
            self.last_heartbeat = time.monotonic()
