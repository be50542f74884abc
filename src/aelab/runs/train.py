"""One training from its configuration to its table of test metrics: new, continued, or taken part in."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from aelab.cluster.devices import world_size
from aelab.cluster.rendezvous import Rendezvous
from aelab.core.errors import ResumeError
from aelab.core.signals import Signals
from aelab.runs.build import Parts, build
from aelab.runs.fit import (
    PRUNES,
    announced,
    report_run,
    samples_seen,
    show_settings,
    status_of,
    test,
    timed,
    trainer_of,
)
from aelab.runs.folder import Run, Status
from aelab.runs.model import fingerprint_in
from aelab.runs.prepare import begin, rehearse
from aelab.runs.report import report
from aelab.training.callbacks.study_reporter import Pruned, PruningFollower
from aelab.training.checkpoints import load, resume_points, usable


def train(
    config: DictConfig,
    signals: Signals,
    callbacks: Sequence[Callback] = (),
    rendezvous: Rendezvous | None = None,
) -> dict[str, float]:
    """Train a configuration in a new folder; the test metrics by name.

    rendezvous: where other processes wait to hear of the run; None: nobody waits.
    """
    planned, parts = Run.planned(config), build(config)
    rehearse(planned, parts, signals)
    run = begin(planned, parts)
    return fit(run, parts, signals, callbacks=callbacks, rendezvous=rendezvous)


def fit(
    run: Run,
    parts: Parts,
    signals: Signals,
    checkpoint: Path | None = None,
    callbacks: Sequence[Callback] = (),
    rendezvous: Rendezvous | None = None,
) -> dict[str, float]:
    """Train from a resume point or from nothing, test the weights that validation chose, and record both."""
    folder = run.folder
    trainer = trainer_of(run, folder.read()["run_id"], signals, more=callbacks)
    advice = f"continue with resume={folder.path}"
    with (
        status_of(folder, trainer, advice),
        announced(folder, checkpoint, rendezvous),
        timed(folder, trainer),
    ):
        show_settings(trainer, run)
        trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        metrics = test(trainer, parts, folder, samples_seen(trainer, parts.data))
    if trainer.is_global_zero:
        report_run(trainer, folder)
    return metrics


def resume(
    run: Run, signals: Signals, callbacks: Sequence[Callback] = (), rendezvous: Rendezvous | None = None
) -> dict[str, float]:
    """Continue a run from its newest undamaged resume point; a finished one is left alone.

    Raises ResumeError where there is nothing to continue from.
    """
    record = run.folder.read()
    if run.folder.status is Status.FINISHED:
        print(f"{run.folder.path} is finished: nothing to do")
        report(run.folder, [])
        return record["metrics"]
    checkpoint = _newest_point(run, record)
    _check_processes(run, record.get("processes"))
    torch.set_num_threads(record["threads"])
    parts = build(run.settings, resumes=True)
    run.folder.resume()
    run.folder.update(resumes=record.get("resumes", 0) + 1)
    return fit(run, parts, signals, checkpoint, callbacks, rendezvous)


def take_part(run: Run, checkpoint: str | None, signals: Signals) -> None:
    """Train beside the first process of a run, in the folder that it has made."""
    start = None if checkpoint is None else Path(checkpoint)
    with suppress(Pruned):  # the first process says so, and an exit in distress would end it before
        callbacks = [PruningFollower()] if PRUNES in os.environ else []
        fit(run, build(run.settings, resumes=start is not None), signals, start, callbacks)


def _newest_point(run: Run, record: dict[str, Any]) -> Path:
    points = resume_points(run.folder.checkpoints)
    newest = next(usable(points), None)
    if newest is None:
        raise ResumeError(
            f"{run.folder.checkpoints} holds no usable checkpoint ({len(points)} damaged): start the run "
            f"anew with {' '.join(record.get('command', []))}"
        )
    for damaged in points[: points.index(newest)]:
        print(f"warning: {damaged} is damaged: continuing from {newest.name}", file=sys.stderr)
    if fingerprint_in(load(newest)) != run.fingerprint:
        raise ResumeError(f"{newest} belongs to another configuration than the run's own {run.folder.config}")
    return newest


def _check_processes(run: Run, had: int | None) -> None:
    """Batches and noise are dealt out to processes: with fewer or more of them no bit would be the same."""
    now = world_size(run.settings.trainer)
    if had not in (None, now):
        raise ResumeError(
            f"the run was trained by {had} processes, and its trainer.devices={run.settings.trainer.devices} "
            f"makes {now} here: continue it where as many devices are"
        )
