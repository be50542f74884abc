"""One training from its configuration to its table of test metrics: start, or continue, and record."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar
from yaml import YAMLError

from aelab.callbacks.pictures import Pictures
from aelab.callbacks.progress import progress
from aelab.callbacks.resume import Best, ResumePoints
from aelab.callbacks.signals import Signals, Terminated
from aelab.callbacks.study import Pruned
from aelab.data.module import DataModule
from aelab.errors import ConfigurationError, ResumeError
from aelab.journal import JsonLines
from aelab.locations import conf_dir
from aelab.runs.build import Parts, build, make, make_trainer
from aelab.runs.folder import RunFolder, Status
from aelab.runs.report import report
from aelab.runs.snapshot import changes_patch, command, git_state, hardware, packages
from aelab.runs.weights import fingerprint
from aelab.trackers import Tracker, new_run_id
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load, resume_points, usable

# Set for the processes that Lightning starts beside the first one: the run that they take part in.
RUN, CHECKPOINT = "AELAB_RUN", "AELAB_CHECKPOINT"


def main(config: DictConfig) -> None:
    """Run, continue, or take part in the training that a composed configuration asks for."""
    quieten()
    with Signals() as signals:
        if RUN in os.environ:
            folder = RunFolder.open(Path(os.environ[RUN]))
            settings = settings_of(folder)
            fit(settings, build(settings), folder, os.environ.get(CHECKPOINT), signals)
            return
        job = HydraConfig.get()
        if job.mode is RunMode.MULTIRUN:
            from aelab.sweeps.trial import carry_out, current

            carry_out(current(), config, signals)
            return
        _check_no_sweep(job.overrides.task)
        if config.resume:
            _check_alone(job.overrides.task)
            resume(Path(config.resume), signals)
        else:
            start(config, signals)


def _check_alone(overrides: Sequence[str]) -> None:
    extra = [o for o in overrides if not o.startswith("resume=")]
    if extra:
        raise ConfigurationError(f"resume= continues a run as it was recorded: leave out {' '.join(extra)}")


def _check_no_sweep(overrides: Sequence[str]) -> None:
    ignored = [o for o in overrides if o.startswith(("sweep.", "sweep=", "sweep/"))]
    if ignored:
        raise ConfigurationError(f"{' '.join(ignored)} is for several trainings: add -m")


def start(config: DictConfig, signals: Signals, callbacks: Sequence[Callback] = ()) -> dict[str, float]:
    """Train from nothing in a new folder; the test metrics by name."""
    parts = build(config)
    # Once without a run, so that what it refuses leaves no folder behind.
    trial: Any = _trainer(config, RunFolder(Path(config.outputs)), "", signals)
    for callback in trial.callbacks:
        if hasattr(callback, "check"):
            callback.check(parts.training.model, parts.data.val_examples(1))
    circumstances, patch = _circumstances(config, parts), _changes()
    folder = RunFolder.create(Path(config.outputs), str(config.name))
    OmegaConf.save(config, folder.config)
    folder.patch.write_bytes(patch)
    folder.update(**circumstances)
    return fit(config, parts, folder, None, signals, callbacks)


def _changes() -> bytes:
    try:
        return changes_patch(conf_dir())
    except ConfigurationError as error:
        print(f"warning: the record will lack the uncommitted changes: {error}", file=sys.stderr)
        return b""


def _circumstances(config: DictConfig, parts: Parts) -> dict[str, Any]:
    """What a run's numbers depend on, apart from its configuration."""
    return {
        "run_id": new_run_id(),
        "seed": config.seed,
        "fingerprint": fingerprint(config),
        "command": command(),
        "git": git_state(conf_dir()),
        "packages": packages(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "data": {"name": parts.data.name, "checksums": parts.data.checksums},
        "parameters": sum(p.numel() for p in parts.training.model.parameters()),
        "flops_per_image": parts.flops_per_image,
    }


def resume(path: Path, signals: Signals, callbacks: Sequence[Callback] = ()) -> dict[str, float]:
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
    config = settings_of(folder)
    if load(checkpoint)["callbacks"][ResumePoints.__qualname__]["fingerprint"] != fingerprint(config):
        raise ResumeError(f"{checkpoint} belongs to another configuration than the run's own {folder.config}")
    torch.set_num_threads(record["threads"])
    parts = build(config)
    folder.resume()
    folder.update(resumes=record.get("resumes", 0) + 1)
    return fit(config, parts, folder, str(checkpoint), signals, callbacks)


def fit(
    config: DictConfig,
    parts: Parts,
    folder: RunFolder,
    checkpoint: str | None,
    signals: Signals,
    callbacks: Sequence[Callback] = (),
) -> dict[str, float]:
    """Train from a resume point or from nothing, test the weights that validation chose, and record both."""
    trainer = _trainer(config, folder, folder.read()["run_id"], signals, callbacks)
    with _status(folder, trainer), _announced(folder, checkpoint), _timed(folder, trainer):
        settings: Any = OmegaConf.to_container(config)
        for logger in trainer.loggers:
            logger.log_hyperparams(settings)
        trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        best = getattr(trainer.checkpoint_callback, "best_model_path", None)
        if best:
            parts.training.load_state_dict(load(Path(best))["state_dict"])
        trainer.test(parts.training, datamodule=parts.data, verbose=False)
        metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
        if trainer.is_global_zero:
            folder.update(
                metrics=metrics, steps=trainer.global_step, samples_seen=samples_seen(trainer, parts.data)
            )
    if trainer.is_global_zero:
        report(folder, [hint for tracker in _trackers(trainer) if (hint := tracker.hint())])
    return metrics


def _trainer(
    config: DictConfig, folder: RunFolder, run_id: str, signals: Signals, more: Sequence[Callback] = ()
) -> Trainer:
    """The Trainer with its loggers and callbacks; nothing is written before it trains."""
    identity = {"folder": folder.path, "name": config.name, "run_id": run_id}
    journal = JsonLines(**identity)
    trackers = [make(node)(**identity) for node in (config.get("logger") or {}).values()]
    bar = progress(sys.stdout.isatty())
    callbacks = [
        bar,
        *more,
        Pictures(folder.pictures, **config.pictures),
        *(make(node) for node in (config.get("callbacks") or {}).values()),
        Best(folder.checkpoints, **config.monitor),
        ResumePoints(folder.checkpoints, fingerprint(config), journal, signals, **config.resume_points),
    ]
    return make_trainer(
        config,
        logger=[journal, *trackers],
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder.path,
        enable_progress_bar=isinstance(bar, ProgressBar),
    )


def _trackers(trainer: Trainer) -> list[Tracker[Any]]:
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


@contextmanager
def _announced(folder: RunFolder, checkpoint: str | None) -> Iterator[None]:
    """Tell the processes that Lightning starts from here which run they belong to."""
    os.environ[RUN] = str(folder.path)
    if checkpoint is not None:
        os.environ[CHECKPOINT] = checkpoint
    try:
        yield
    finally:
        os.environ.pop(RUN, None)
        os.environ.pop(CHECKPOINT, None)


@contextmanager
def _status(folder: RunFolder, trainer: Trainer) -> Iterator[None]:
    """Record how the run ended, whatever ended it, and close its trackers with the same verdict."""
    status, code, error = Status.FAILED, 1, None
    try:
        yield
        status, code = Status.FINISHED, 0
    except Terminated as signal:
        status, code = Status.KILLED, int(signal.code or 0)
        print(f"stopped by signal {signal.signum}: continue with resume={folder.path}", file=sys.stderr)
        raise
    except Pruned as reason:
        status, code, error = Status.PRUNED, 0, str(reason)
        raise
    except BaseException as reason:
        error = f"{type(reason).__name__}: {reason}"
        raise
    finally:
        if trainer.is_global_zero:
            folder.update(status=status, exit_code=code, error=error)
            for tracker in _trackers(trainer):
                if status is Status.FINISHED and (best := folder.checkpoints / "best.ckpt").exists():
                    tracker.keep_model([folder.config, folder.record, best])
                tracker.finish(code)


@contextmanager
def _timed(folder: RunFolder, trainer: Trainer) -> Iterator[None]:
    """Add the seconds of training, validation and test to those before a resume; a SIGKILL loses its own."""
    began = time.monotonic()
    try:
        yield
    finally:
        if trainer.is_global_zero:
            before = folder.read().get("seconds") or 0.0
            folder.update(seconds=round(before + time.monotonic() - began, 3))


def samples_seen(trainer: Trainer, data: DataModule) -> int:
    """Training images shown to the model, each as often as it was, over all resumes and processes."""
    loader = data.train_dataloader()
    batches, each = trainer.fit_loop.epoch_loop.batch_progress.total.completed, len(loader)
    whole, rest = divmod(batches, int(trainer.num_training_batches))
    full = min(int(trainer.num_training_batches), each)
    share = -(-len(loader.images) // loader.world_size)  # the last batch of a whole epoch may be short
    per_epoch = min(full * loader.batch_size, share)
    return (whole * per_epoch + rest * loader.batch_size) * loader.world_size


def quieten() -> None:
    """Leave out what Lightning says of itself at every start."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    warnings.filterwarnings("ignore", module="lightning_fabric.*")


def settings_of(folder: RunFolder) -> DictConfig:
    """The composed configuration of a run."""
    try:
        config = OmegaConf.load(folder.config)
    except (OSError, YAMLError) as error:
        raise ResumeError(
            f"{folder.config} cannot be read ({error}): restore it, or start a new run"
        ) from error
    assert isinstance(config, DictConfig)
    return config
