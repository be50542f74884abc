"""The record of a study, which any number of processes share: every trial once, and none lost.

Optuna keeps the trials. A trial that ended without success stays as it is; another attempt is a trial of its
own that names the one before, `retry_of`. Where two processes add the same thing at the same moment, the
trial with the lower number counts and the other is discarded, so no lock is needed beyond the storage's own.
"""

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import optuna
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from aelab.cluster import slurm
from aelab.cluster.processes import alive, this_process
from aelab.cluster.slurm import Queue
from aelab.core.errors import SweepError

HEARTBEAT = 30.0
"""Seconds between the heartbeats that a process records for its trials."""
SILENCE_LIMIT = 300.0
"""Seconds without a heartbeat after which a trial of another machine counts as lost."""
CLAIM_LIMIT = 60.0
"""Seconds that a process has to record itself as the worker of a trial that has begun."""

LOST, FAILED, KILLED, DUPLICATE, SURPLUS = "lost", "failed", "killed", "duplicate", "surplus"
DISCARDED = (DUPLICATE, SURPLUS)


@dataclass
class StudyRecord:
    """The trials of a study: which there are, which are to be run, and how each ended.

    budget: how many trials a sampler draws; None for a grid, whose trials are added by `add`.
    retries: how often a trial that failed or was killed is tried again.
    """

    study: optuna.Study
    budget: int | None
    retries: int
    queue: Queue = field(default_factory=Queue)

    def enqueue(self, points: Iterable[Sequence[str]]) -> None:
        """Enqueue a trial for each of these combinations of overrides that the study does not have yet."""
        known = {trial.user_attrs.get("point") for trial in self.trials()}
        for overrides in points:
            point = _hash(overrides)
            if point not in known:
                self.study.enqueue_trial({}, {"point": point, "overrides": list(overrides)})

    def trials(self) -> list[FrozenTrial]:
        """All trials but the discarded ones, by number."""
        every = self.study.get_trials(deepcopy=False)
        return [trial for trial in every if trial.user_attrs.get("reason") not in DISCARDED]

    def latest(self) -> list[FrozenTrial]:
        """The last attempt of each trial."""
        return self._latest(self.trials())

    def _latest(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        repeated = {trial.user_attrs.get("retry_of") for trial in trials}
        return [trial for trial in trials if trial.number not in repeated]

    def is_open(self) -> bool:
        """Whether any trial is under way or still to be run."""
        trials = self.trials()
        waiting = any(not trial.state.is_finished() for trial in trials)
        return waiting or self._missing(trials) > 0 or bool(self._retries_due(trials))

    def claim(self, ours: Collection[int] = ()) -> Trial | None:
        """The next trial, now of this process, those of dead processes included; None where none is left.

        ours: trials that this process started, whose end its launcher will report.
        """
        self._reclaim(ours)
        for ended in self._retries_due(self.trials()):
            self._enqueue_retry(ended)
        while self._has_waiting():
            trial = self.study.ask()
            self.set_facts(trial, worker=this_process(), beat=time.time())
            reason = self._discard_reason(trial)
            if reason is None:
                return trial
            self.end(trial, TrialState.FAIL, reason=reason)
        return None

    def end(
        self, trial: Trial, state: TrialState, values: Sequence[float] | None = None, **facts: Any
    ) -> None:
        """Record how a trial ended, once; what another process has reclaimed meanwhile stays so."""
        with contextlib.suppress(UpdateFinishedTrialError):
            # Before the state, after which a trial cannot be changed.
            self.set_facts(trial, **facts)
            self.study.tell(trial, values, state, skip_if_finished=True)

    def set_facts(self, trial: Trial, **facts: Any) -> None:
        """Set attributes of a trial, unless it has ended."""
        with contextlib.suppress(UpdateFinishedTrialError):
            for name, value in facts.items():
                trial.set_user_attr(name, value)

    def heartbeat(self, trials: Iterable[Trial]) -> None:
        """Record that this process lives; a storage that does not answer now is written at the next."""
        with contextlib.suppress(OSError, OptunaError):
            for trial in trials:
                self.set_facts(trial, beat=time.time())

    def attempts(self, trial: FrozenTrial) -> int:
        """The number of earlier attempts of a trial that ended by their own failure."""
        return int(trial.user_attrs.get("attempt", 0))

    def _has_waiting(self) -> bool:
        trials = self.trials()
        waiting = any(trial.state is TrialState.WAITING for trial in trials)
        return waiting or self._missing(trials) > 0

    def _missing(self, trials: Sequence[FrozenTrial]) -> int:
        roots = sum("retry_of" not in trial.user_attrs for trial in trials)
        return 0 if self.budget is None else self.budget - roots

    def _retries_due(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        """The failed trials that are to be run again, and have no further attempt yet."""
        failed = [trial for trial in self._latest(trials) if trial.state is TrialState.FAIL]
        return [trial for trial in failed if self._is_retried(trial)]

    def _is_retried(self, trial: FrozenTrial) -> bool:
        return trial.user_attrs.get("reason") == LOST or self.attempts(trial) < self.retries

    def _enqueue_retry(self, trial: FrozenTrial) -> None:
        own = trial.user_attrs.get("reason") != LOST
        kept: dict[str, Any] = {
            k: trial.user_attrs[k] for k in ("point", "overrides", "run", "runs") if k in trial.user_attrs
        }
        attempt = self.attempts(trial) + own
        self.study.enqueue_trial(trial.params, {**kept, "retry_of": trial.number, "attempt": attempt})

    def _reclaim(self, ours: Collection[int]) -> None:
        """Mark the trials of dead processes as failed."""
        running = self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        jobs = {job for trial in running if (job := _slurm_job(trial)) is not None}
        ended = self.queue.ended(jobs) if jobs and slurm.is_installed() else None
        for trial in running:
            if trial.number not in ours and _is_stale(trial, ended):
                reason, error = _loss_of(trial, ended)
                reason = self._discard_reason(trial) or reason
                self.end(Trial(self.study, trial._trial_id), TrialState.FAIL, reason=reason, error=error)

    def _discard_reason(self, trial: Trial | FrozenTrial) -> str | None:
        """The reason why a trial does not count, if it does not."""
        earlier = [other for other in self.trials() if other.number < trial.number]
        attrs = trial.user_attrs
        for key in ("retry_of", "point"):
            if key in attrs:
                same = any(other.user_attrs.get(key) == attrs[key] for other in earlier)
                return DUPLICATE if same else None
        return SURPLUS if self.budget is None or self._missing(earlier) <= 0 else None


def open_study(
    name: str,
    storage: optuna.storages.BaseStorage,
    objectives: Mapping[str, str],
    question: Mapping[str, Any],
) -> optuna.Study:
    """The study of a name, made where there is none.

    objectives: direction of each; empty where the trials' values do not compare.
    question: all that decides the trials' values, as plain values, kept with the study.

    Raises SweepError where the study of this name has another question.
    """
    directions: Any = list(objectives.values()) or ["maximize"]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions, load_if_exists=True)
    asked = study.user_attrs.get("question")
    if asked is None and not study.get_trials(deepcopy=False):
        study.set_user_attr("question", dict(question))
    elif asked != question:
        other = [key for key in {**(asked or {}), **question} if (asked or {}).get(key) != question.get(key)]
        raise SweepError(
            f"study {name!r} in this storage was made for something else (its {', '.join(other)} differ): "
            "choose another sweep.study, or the same overrides"
        )
    return study


def default_name(method: str, question: Mapping[str, Any]) -> str:
    """The name that follows from a question: the same command continues the same study."""
    return f"{method}-{_hash(question)[:10]}"


def run_folders(trial: Trial | FrozenTrial) -> tuple[str, ...]:
    """The run folders of a trial, those of its earlier attempts included."""
    run = trial.user_attrs.get("run")
    return tuple(trial.user_attrs.get("runs") or ([] if run is None else [run]))


def _is_stale(trial: FrozenTrial, ended: Mapping[str, str] | None) -> bool:
    """Whether no process works on a running trial any more.

    ended: the Slurm jobs that have ended; None where there is no Slurm to ask.
    """
    worker, job = trial.user_attrs.get("worker"), _slurm_job(trial)
    if worker is None:
        begun = trial.datetime_start
        return begun is not None and (datetime.now() - begun).total_seconds() > CLAIM_LIMIT
    if job is not None and ended is not None:
        return job in ended
    if worker.get("host") == socket.gethostname():
        return not alive(worker)
    return time.time() - trial.user_attrs.get("beat", 0.0) > SILENCE_LIMIT


def _loss_of(trial: FrozenTrial, ended: Mapping[str, str] | None) -> tuple[str, str]:
    """The reason why a stale trial has ended, and a sentence on it."""
    job = _slurm_job(trial)
    if job is None or ended is None:
        return LOST, "the process that ran it is gone"
    # Its user may cancel a job of a sweep that was stopped, and start the sweep again.
    reason = LOST if ended[job] in slurm.BLAMELESS | {"CANCELLED"} else KILLED
    return reason, slurm.end_sentence(job, ended[job])


def _slurm_job(trial: FrozenTrial) -> str | None:
    """The Slurm job of a trial."""
    return trial.user_attrs.get("worker", {}).get("slurm")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
