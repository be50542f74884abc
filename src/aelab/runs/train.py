"""One training from its configuration to its table of test metrics: new, continued, or taken part in.

A run about to begin is tried, given a folder, and what its numbers depend on is recorded.
"""

import functools
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from aelab.cluster.devices import world_size
from aelab.cluster.rendezvous import Rendezvous
from aelab.core.errors import AelabError, ConfigurationError, ResumeError, RunError
from aelab.core.files import write_bytes, write_text
from aelab.core.paths import conf_dir
from aelab.core.signals import Signals
from aelab.core.text import listed, sentence
from aelab.loggers import new_run_id
from aelab.runs.build import Parts, build
from aelab.runs.data import check_same, placed
from aelab.runs.fit import (
    PRUNES,
    announced,
    owned,
    report_run,
    samples_seen,
    show_settings,
    status_of,
    test,
    timed,
    trainer_of,
)
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.model import fingerprint_in, weights_of
from aelab.runs.provenance import (
    changes_patch,
    command,
    continued_otherwise,
    git_state,
    hardware,
    packages,
    source,
)
from aelab.runs.report import introduce, report
from aelab.training.callbacks.resume import ResumePoints
from aelab.training.callbacks.study_reporter import Pruned, PruningFollower
from aelab.training.checkpoints import load, resume_points, usable

RESTORED = ("state_dict", "optimizer_states", "loops", "callbacks", "DataModule", "window")  # of a checkpoint
NEEDED = ("run_id", "threads", "fingerprint")  # of a record, to be continued


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
    with owned(run.folder):
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
    with (
        status_of(folder, trainer),
        announced(folder, checkpoint, rendezvous),
        timed(folder, trainer),
    ):
        if trainer.is_global_zero:
            introduce(run, parts)
        show_settings(trainer, run)
        with _restoring(trainer, checkpoint):
            trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        metrics = test(trainer, parts, folder, samples_seen(trainer, parts.data))
    if trainer.is_global_zero:
        report_run(trainer, folder)
    return metrics


@contextmanager
def _restoring(trainer: Trainer, checkpoint: Path | None) -> Iterator[None]:
    """ResumeError for a checkpoint that lacks what a resume needs, though its seal is whole."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        begun = any(each.begun for each in trainer.callbacks if isinstance(each, ResumePoints))  # type: ignore[attr-defined]
        if checkpoint is None or begun or isinstance(error, AelabError):
            raise
        raise ResumeError(
            f"{checkpoint} does not hold what a training continues from ({type(error).__name__}: "
            f"{sentence(error)[:200]}): remove it, to continue from the one before, or start anew"
        ) from error


def resume(
    run: Run, signals: Signals, callbacks: Sequence[Callback] = (), rendezvous: Rendezvous | None = None
) -> dict[str, float]:
    """Continue a run from its newest undamaged resume point; a finished one is left alone.

    Raises ResumeError where there is nothing to continue from.
    """
    record = run.folder.read()
    if missing := [key for key in NEEDED if key not in record]:
        raise RunError(f"{run.folder.record} has no usable {missing[0]}: give a run as it was recorded")
    if run.folder.status is Status.FINISHED:
        return _finished(run)
    with owned(run.folder):
        record = run.folder.read()  # which the last owner may have written just now
        if run.folder.status is Status.FINISHED:
            return _finished(run)
        checkpoint, step = _newest_point(run, record)
        _check_processes(run, record.get("processes"))
        torch.set_num_threads(record["threads"])
        parts = build(placed(run.settings), resumes=True)
        check_same(run, parts.data)
        _check_step(record.get("eager"), parts.training.eager)
        run.folder.resume()
        _note_continued(run.folder, record, checkpoint, step)
        return fit(run, parts, signals, checkpoint, callbacks, rendezvous)


def _finished(run: Run) -> dict[str, float]:
    print(f"{run.folder.path} is finished: nothing to do")
    report(run.folder, [])
    metrics: dict[str, float] = run.folder.read().get("metrics", {})
    return metrics


def take_part(run: Run, checkpoint: str | None, signals: Signals) -> None:
    """Train beside the first process of a run, in the folder that it has made."""
    start = None if checkpoint is None else Path(checkpoint)
    settings = run.settings if start is None else placed(run.settings)
    with suppress(Pruned):  # the first process says so, and an exit in distress would end it before
        callbacks = [PruningFollower()] if PRUNES in os.environ else []
        fit(run, build(settings, resumes=start is not None), signals, start, callbacks)


def _note_continued(folder: RunFolder, record: dict[str, Any], checkpoint: Path, step: int) -> None:
    """Keep in the record who continues a run, from where, and by what other code, packages and machine."""
    earlier, patch = record.get("continued", []), changes()
    here = {"git": tree(), "source": source(), "packages": packages(), "hardware": hardware()}
    differing = continued_otherwise(record, here)
    entry = {"step": step, "checkpoint": checkpoint.name, "command": command()}
    if differing:
        kept = folder.path / f"changes-{len(earlier) + 1}.patch"
        write_bytes(kept, patch)
        entry |= {"git": tree(), "source": source(), "patch": kept.name, "differing": differing}
        print(
            f"warning: the run is continued otherwise than it began ({listed(differing, 6)}): its bits are "
            "not those of an uninterrupted training, and its record says so",
            file=sys.stderr,
        )
    folder.update(resumes=record.get("resumes", 0) + 1, continued=[*earlier, entry])


def _newest_point(run: Run, record: dict[str, Any]) -> tuple[Path, int]:
    """The checkpoint to continue from, and the step at which it was written."""
    points = resume_points(run.folder.checkpoints)
    newest = next(usable(points), None)
    if newest is None:
        raise ResumeError(
            f"{run.folder.checkpoints} holds no usable checkpoint ({len(points)} damaged): start the run "
            f"anew with {' '.join(record.get('command', []))}"
        )
    for damaged in points[: points.index(newest)]:
        print(f"warning: {damaged} is damaged: continuing from {newest.name}", file=sys.stderr)
    checkpoint = load(newest)
    if fingerprint_in(checkpoint) != run.fingerprint:
        raise ResumeError(f"{newest} belongs to another configuration than the run's own {run.folder.config}")
    if missing := [part for part in RESTORED if not checkpoint.get(part)]:
        # Lightning would do without, and begin anew from weights that are trained.
        raise ResumeError(f"{newest} does not hold what a training continues from: it has no {missing[0]}")
    return newest, checkpoint["global_step"]


def _check_processes(run: Run, had: int | None) -> None:
    """Batches and noise are dealt out to processes: with fewer or more of them no bit would be the same."""
    now = world_size(run.settings.trainer)
    if had not in (None, now):
        raise ResumeError(
            f"the run was trained by {had} processes, and its trainer.devices={run.settings.trainer.devices} "
            f"makes {now} here: continue it where as many devices are"
        )


def _check_step(before: str | None, now: str | None) -> None:
    """Compiled and eager steps round otherwise: a run goes on as it began."""
    if (before is None) != (now is None):
        how = "compiled, and here they are not" if now else "not compiled, and here they are"
        raise ResumeError(
            f"the steps of the run were {how} ({now or before}): continue it where "
            "training.compile=step does what it did"
        )


def rehearse(run: Run, parts: Parts, signals: Signals) -> Trainer:
    """Make the Trainer once before a run has its folder, so that what it refuses leaves none behind."""
    trial = trainer_of(run, "", signals)
    if any(stopping.monitor is None for stopping in trial.early_stopping_callbacks):
        raise ConfigurationError(
            "callback=early_stopping watches monitor.metric, which is null: give "
            "callbacks.early_stopping.monitor, as val/mse"
        )
    for callback in trial.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "check"):
            callback.check(parts.training.model, parts.data.val_examples(1))
    return trial


def begin(run: Run, parts: Parts, **more: Any) -> Run:
    """The planned run in a folder of its own, with what is known of it, and more, in its record."""
    known, patch = circumstances(run, parts), changes()
    folder = RunFolder.create(run.folder.path, str(run.settings.name))
    write_text(folder.config, OmegaConf.to_yaml(run.settings))
    write_bytes(folder.patch, patch)
    if run.settings.start.run is not None:  # the run is whole in itself, also to be reproduced
        shutil.copyfile(weights_of(run.settings.start), folder.start)
    folder.update(**known, **more)
    folder.seal(folder.config, folder.patch)
    return replace(run, folder=folder)


# What a process has imported is the tree as it was when it began: so have the trials that it forks.
@functools.cache
def tree() -> dict[str, Any] | None:
    """The state of the source tree, as this process first found it."""
    return git_state(conf_dir())


@functools.cache
def changes() -> bytes:
    """The uncommitted changes then as a patch; empty, with a warning, where they cannot be told."""
    if secrets := (tree() or {}).get("secrets"):
        print(
            f"warning: changes.patch leaves out what looks like secrets: {listed(secrets)}", file=sys.stderr
        )
    try:
        return changes_patch(conf_dir())
    except (ConfigurationError, OSError) as error:
        print(f"warning: the record will lack the uncommitted changes: {error}", file=sys.stderr)
        return b""


def circumstances(run: Run, parts: Parts) -> dict[str, Any]:
    """What a run's numbers depend on, apart from its configuration."""
    return {
        "run_id": new_run_id(),
        "seed": run.settings.seed,
        "fingerprint": run.fingerprint,
        "command": command(),
        "git": tree(),
        "source": source(),
        "packages": packages(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "processes": world_size(run.settings.trainer),
        "eager": parts.training.eager,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "data": {
            "name": parts.data.name,
            "checksums": parts.data.checksums,
            "observations": parts.data.counts,
            "classes": parts.data.class_counts,
            "notes": parts.data.notes,
        },
        "values": parts.data.values.state(),
        "parameters": sum(p.numel() for p in parts.training.model.parameters()),
        "flops_per_image": parts.flops_per_image,
    }
