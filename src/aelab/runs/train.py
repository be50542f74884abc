"""One training from its configuration to its table of test metrics: start, or continue, and record."""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch
from omegaconf import DictConfig
from pytorch_lightning import Callback

from aelab.cluster.devices import world_size
from aelab.cluster.rendezvous import Meeting
from aelab.config.identity import fingerprint
from aelab.config.recorded import settings_of
from aelab.core.errors import ResumeError
from aelab.core.signals import Signals
from aelab.runs.build import build
from aelab.runs.fit import PRUNES, fit
from aelab.runs.folder import RunFolder, Status
from aelab.runs.model import fingerprint_in
from aelab.runs.prepare import changes, circumstances, new_folder, rehearse
from aelab.runs.report import report
from aelab.training.callbacks.study import Follows, Pruned
from aelab.training.checkpoints import load, resume_points, usable


def take_part(run: str, checkpoint: str | None, signals: Signals) -> None:
    """Train beside the first process of a run, in the folder that it has made."""
    folder = RunFolder.open(Path(run))
    config = settings_of(folder.config)
    with suppress(Pruned):  # the first process says so, and an exit in distress would end it before
        parts = build(config, resumes=checkpoint is not None)
        fit(config, parts, folder, checkpoint, signals, [Follows()] if PRUNES in os.environ else [])


def start(
    config: DictConfig, signals: Signals, callbacks: Sequence[Callback] = (), meeting: Meeting | None = None
) -> dict[str, float]:
    """Train from nothing in a new folder; the test metrics by name."""
    parts = build(config)
    rehearse(config, parts, signals)
    folder = new_folder(config, circumstances(config, parts), changes())
    return fit(config, parts, folder, None, signals, callbacks, meeting)


def resume(
    path: Path, signals: Signals, callbacks: Sequence[Callback] = (), meeting: Meeting | None = None
) -> dict[str, float]:
    """Continue the run in a folder from its newest undamaged resume point; a finished one is left alone.

    Raises ResumeError where there is nothing to continue from.
    """
    folder = RunFolder.open(path)
    record = folder.read()
    if folder.status is Status.FINISHED:
        print(f"{path} is finished: nothing to do")
        report(folder, [])
        return record["metrics"]
    points = resume_points(folder.checkpoints)
    checkpoint = next(usable(points), None)
    if checkpoint is None:
        raise ResumeError(
            f"{folder.checkpoints} holds no usable checkpoint ({len(points)} damaged): start the run anew "
            f"with {' '.join(record.get('command', []))}"
        )
    for damaged in points[: points.index(checkpoint)]:
        print(f"warning: {damaged} is damaged: continuing from {checkpoint.name}", file=sys.stderr)
    config = settings_of(folder.config)
    if fingerprint_in(load(checkpoint)) != fingerprint(config):
        raise ResumeError(f"{checkpoint} belongs to another configuration than the run's own {folder.config}")
    _check_processes(record.get("processes"), config)
    torch.set_num_threads(record["threads"])
    parts = build(config, resumes=True)
    folder.resume()
    folder.update(resumes=record.get("resumes", 0) + 1)
    return fit(config, parts, folder, str(checkpoint), signals, callbacks, meeting)


def _check_processes(had: int | None, config: DictConfig) -> None:
    """Batches and noise are dealt out to processes: with fewer or more of them no bit would be the same."""
    now = world_size(config.trainer)
    if had not in (None, now):
        raise ResumeError(
            f"the run was trained by {had} processes, and its trainer.devices={config.trainer.devices} makes "
            f"{now} here: continue it where as many devices are"
        )
