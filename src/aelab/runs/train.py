"""One training from its configuration to its table of test metrics: start, or continue, and record."""

import hashlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from aelab.callbacks.pictures import Pictures
from aelab.callbacks.progress import progress
from aelab.callbacks.resume import ResumePoints
from aelab.callbacks.signals import Signals, Terminated
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
            settings = OmegaConf.load(folder.config)
            fit(settings, build(settings), folder, os.environ.get(CHECKPOINT), signals)
        elif config.resume:
            _check_alone(HydraConfig.get().overrides.task)
            resume(Path(config.resume), signals)
        else:
            start(config, signals)


def _check_alone(overrides: Sequence[str]) -> None:
    extra = [o for o in overrides if not o.startswith("resume=")]
    if extra:
        raise ConfigurationError(f"resume= continues a run as it was recorded: leave out {' '.join(extra)}")


def start(config: DictConfig, signals: Signals) -> dict[str, float]:
    """Train from nothing in a new folder; the test metrics by name."""
    parts = build(config)
    make_trainer(config, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    folder = RunFolder.create(Path(config.outputs), config.name)
    OmegaConf.save(config, folder.config)
    where = Path.cwd()
    git = git_state(where)
    if git is not None:
        folder.patch.write_bytes(changes_patch(where))
    folder.update(
        run_id=new_run_id(),
        seed=config.seed,
        command=command(),
        git=git,
        packages=packages(),
        hardware=hardware(),
        threads=torch.get_num_threads(),
        data={"name": parts.data.name, "checksums": parts.data.checksums},
        parameters=sum(p.numel() for p in parts.training.model.parameters()),
    )
    return fit(config, parts, folder, None, signals)


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
            f"with {' '.join(record['command'])}"
        )
    for damaged in points[: points.index(checkpoint)]:
        print(f"warning: {damaged} is damaged: continuing from {checkpoint.name}", file=sys.stderr)
    config = OmegaConf.load(folder.config)
    assert isinstance(config, DictConfig)
    torch.set_num_threads(record["threads"])
    parts = build(config)
    folder.resume()
    return fit(config, parts, folder, str(checkpoint), signals)


def fit(
    config: DictConfig, parts: Parts, folder: RunFolder, checkpoint: str | None, signals: Signals
) -> dict[str, float]:
    """Train from a resume point or from nothing, test the weights that validation chose, and record both."""
    journal = JsonLines(folder.path, config.name, folder.read()["run_id"])
    trackers = _trackers(config, folder)
    best = _best(config, folder)
    callbacks = _callbacks(config, folder, journal, signals, best)
    trainer = make_trainer(
        config,
        logger=[journal, *trackers],
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
        default_root_dir=folder.path,
        enable_progress_bar=any("ProgressBar" in type(c).__name__ for c in callbacks),
    )
    with _status(folder, trainer, trackers), _announced(folder, checkpoint):
        for tracker in trackers:
            tracker.log_hyperparams(OmegaConf.to_container(config))  # type: ignore[arg-type]
        trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        if best.best_model_path:
            parts.training.load_state_dict(load(Path(best.best_model_path))["state_dict"])
        trainer.test(parts.training, datamodule=parts.data, verbose=False)
        metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
        if trainer.is_global_zero:
            folder.update(metrics=metrics)
    if trainer.is_global_zero:
        report(folder, [hint for tracker in trackers if (hint := tracker.hint())])
    return metrics


def _trackers(config: DictConfig, folder: RunFolder) -> list[Tracker[Any]]:
    run_id = folder.read()["run_id"]
    return [
        make(node)(folder=folder.path, name=config.name, run_id=run_id)
        for node in (config.get("logger") or {}).values()
    ]


def _best(config: DictConfig, folder: RunFolder) -> ModelCheckpoint:
    return ModelCheckpoint(
        dirpath=folder.checkpoints,
        filename="best",
        monitor=config.monitor.metric,
        mode=config.monitor.mode,
        save_weights_only=True,
        enable_version_counter=False,
    )


def _callbacks(
    config: DictConfig, folder: RunFolder, journal: JsonLines, signals: Signals, best: ModelCheckpoint
) -> list[Callback]:
    points = ResumePoints(folder.checkpoints, fingerprint(config), journal, signals, **config.resume_points)
    return [
        progress(sys.stdout.isatty()),
        Pictures(folder.pictures, **config.pictures),
        *(make(node) for node in (config.get("callbacks") or {}).values()),
        best,
        points,
    ]


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
def _status(folder: RunFolder, trainer: Trainer, trackers: list[Tracker[Any]]) -> Iterator[None]:
    """Record how the run ended, whatever ended it, and close its trackers with the same verdict."""
    status, code, error = Status.FAILED, 1, None
    try:
        yield
        status, code = Status.FINISHED, 0
    except Terminated as signal:
        status, code = Status.KILLED, int(signal.code or 0)
        raise
    except BaseException as reason:
        error = f"{type(reason).__name__}: {reason}"
        raise
    finally:
        if trainer.is_global_zero:
            folder.update(status=status, exit_code=code, error=error)
            for tracker in trackers:
                tracker.finish(code)


def quieten() -> None:
    """Leave out what Lightning says of itself at every start."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
        logging.getLogger(f"{name}.utilities.rank_zero").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.*")
    warnings.filterwarnings("ignore", module="lightning_fabric.*")


def settings_of(folder: RunFolder) -> dict[str, Any]:
    """The composed configuration of a run, as plain containers."""
    return OmegaConf.to_container(OmegaConf.load(folder.config))  # type: ignore[return-value]
