"""One training from its configuration to its table of test metrics: start, or continue, and record."""

import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
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
from aelab.composition import conf_dir
from aelab.errors import ConfigurationError, ResumeError
from aelab.journal import JsonLines
from aelab.runs.build import Parts, build, make, make_trainer
from aelab.runs.folder import RunFolder, Status
from aelab.runs.report import report
from aelab.runs.snapshot import changes_patch, command, git_state, hardware, packages
from aelab.trackers import Tracker, new_run_id
from aelab.training.checkpoints import AtomicCheckpointIO, load, resume_points, usable

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
        if job.mode is RunMode.MULTIRUN and config.trainer.devices != 1:
            raise ConfigurationError(
                f"a sweep (-m) trains on one device and trainer.devices={config.trainer.devices}: "
                "run its lines one by one, or choose trainer.devices=1"
            )
        if config.resume:
            _check_alone(job.overrides.task)
            resume(Path(config.resume), signals)
        elif "members" in config.trainer:
            from aelab.runs.vectorised import start as start_together

            start_together(config, signals)
        else:
            start(config, signals)


def _check_alone(overrides: Sequence[str]) -> None:
    extra = [o for o in overrides if not o.startswith("resume=")]
    if extra:
        raise ConfigurationError(f"resume= continues a run as it was recorded: leave out {' '.join(extra)}")


def start(config: DictConfig, signals: Signals) -> dict[str, float]:
    """Train from nothing in a new folder; the test metrics by name."""
    parts = build(config)
    rehearse(config, parts, signals)
    return fit(config, parts, new_folder(config, circumstances(config, parts), changes()), None, signals)


def rehearse(config: DictConfig, parts: Parts, signals: Signals) -> Trainer:
    """Make the Trainer once without a run, so that what it refuses leaves no folder behind."""
    trial = trainer_of(config, RunFolder(Path(config.outputs)), "", signals)
    for callback in trial.callbacks:  # type: ignore[attr-defined]
        if hasattr(callback, "check"):
            callback.check(parts.training.model, parts.data.val_examples(1))
    return trial


def new_folder(config: DictConfig, known: Mapping[str, Any], patch: bytes) -> RunFolder:
    """A folder for a run that is about to begin, with what is known of it."""
    folder = RunFolder.create(Path(config.outputs), str(config.name))
    OmegaConf.save(config, folder.config)
    folder.patch.write_bytes(patch)
    folder.update(**known)
    return folder


def changes() -> bytes:
    """The uncommitted changes as a patch; empty, with a warning, where they cannot be told."""
    try:
        return changes_patch(conf_dir())
    except ConfigurationError as error:
        print(f"warning: the record will lack the uncommitted changes: {error}", file=sys.stderr)
        return b""


def circumstances(config: DictConfig, parts: Parts) -> dict[str, Any]:
    """What a run's numbers depend on, apart from its configuration."""
    return {
        "run_id": new_run_id(),
        "seed": config.seed,
        "command": command(),
        "git": git_state(conf_dir()),
        "packages": packages(),
        "hardware": hardware(),
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "data": {"name": parts.data.name, "checksums": parts.data.checksums},
        "parameters": sum(p.numel() for p in parts.training.model.parameters()),
    }


def resume(path: Path, signals: Signals) -> dict[str, float]:
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
    return fit(config, parts, folder, str(checkpoint), signals)


def fit(
    config: DictConfig, parts: Parts, folder: RunFolder, checkpoint: str | None, signals: Signals
) -> dict[str, float]:
    """Train from a resume point or from nothing, test the weights that validation chose, and record both."""
    trainer = trainer_of(config, folder, folder.read()["run_id"], signals)
    with status_of(folder, trainer, f"continue with resume={folder.path}"), _announced(folder, checkpoint):
        show_settings(trainer, config)
        trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        metrics = test(trainer, parts, folder)
    if trainer.is_global_zero:
        report_run(trainer, folder)
    return metrics


def show_settings(trainer: Trainer, config: DictConfig) -> None:
    """Hand the configuration to the trackers."""
    settings: Any = OmegaConf.to_container(config)
    for logger in trainer.loggers:
        logger.log_hyperparams(settings)


def test(trainer: Trainer, parts: Parts, folder: RunFolder) -> dict[str, float]:
    """Measure the weights that validation chose on the test split, and record what is found."""
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        parts.training.load_state_dict(load(Path(best))["state_dict"])
    trainer.test(parts.training, datamodule=parts.data, verbose=False)
    metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
    if trainer.is_global_zero:
        folder.update(metrics=metrics, steps=trainer.global_step)
    return metrics


def report_run(trainer: Trainer, folder: RunFolder) -> None:
    """Print the run's table and what its trackers suggest."""
    report(folder, [hint for tracker in _trackers(trainer) if (hint := tracker.hint())])


def trainer_of(
    config: DictConfig, folder: RunFolder, run_id: str, signals: Signals, bar: Callback | None = None
) -> Trainer:
    """The Trainer with its loggers and callbacks; nothing is written before it trains.

    bar: what shows progress; None: what suits the terminal.
    """
    identity = {"folder": folder.path, "name": config.name, "run_id": run_id}
    journal = JsonLines(**identity)
    trackers = [make(node)(**identity) for node in (config.get("logger") or {}).values()]
    bar = bar or progress(sys.stdout.isatty())
    callbacks = [
        bar,
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


def fingerprint(config: DictConfig) -> str:
    """A hash of all that decides a training's bits."""
    deciding = {k: v for k, v in config.items() if k not in ("outputs", "resume", "logger", "pictures")}
    return hashlib.sha256(OmegaConf.to_yaml(OmegaConf.create(deciding), sort_keys=True).encode()).hexdigest()


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
def status_of(folder: RunFolder, trainer: Trainer, advice: str) -> Iterator[None]:
    """Record how the run ended, whatever ended it, and close its trackers with the same verdict.

    advice: for a user who stopped it by a signal.
    """
    status, code, error = Status.FAILED, 1, None
    try:
        yield
        status, code = Status.FINISHED, 0
    except Terminated as signal:
        status, code = Status.KILLED, int(signal.code or 0)
        print(f"stopped by signal {signal.signum}: {advice}", file=sys.stderr)
        raise
    except BaseException as reason:
        error = f"{type(reason).__name__}: {reason}"
        raise
    finally:
        if trainer.is_global_zero:
            folder.update(status=status, exit_code=code, error=error)
            for tracker in _trackers(trainer):
                tracker.finish(code)


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
