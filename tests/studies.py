"""Processes that work on one study, and die."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from optuna.trial import TrialState

from aelab.sweeps.study import StudyRecord, open_study

POINTS = [[f"seed={seed}"] for seed in range(20)]


def shared_record(
    storage: Any, budget: int | None = None, retries: int = 0, question: str = "data=mnist"
) -> StudyRecord:
    """The record of the study `s` in a storage."""
    study = open_study("s", storage, {"val/elbo": "maximize"}, {"overrides": [question]})
    return StudyRecord(study, budget, retries)


def overrides(record: StudyRecord, state: TrialState) -> list[str]:
    """The first override of each trial in a state."""
    return [t.user_attrs["overrides"][0] for t in record.trials() if t.state is state]


def together(record: Callable[..., StudyRecord], *works: tuple[Any, ...]) -> None:
    """Each process finishes points of `record(where)` until none is left, or is killed at one."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_finish_all, args=(record, *work)) for work in works]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def _finish_all(record: Callable[..., StudyRecord], where: Any, die_after: int | None = None) -> None:
    ours = record(where)
    ours.enqueue(POINTS)
    done = 0
    while (trial := ours.claim()) is not None:
        if done == die_after:
            os.kill(os.getpid(), signal.SIGKILL)
        ours.end(trial, TrialState.COMPLETE, [float(trial.number)])
        done += 1
