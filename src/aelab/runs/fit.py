"""One training by Lightning in a run's folder: announced, timed, tested, recorded, told to trackers."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ProgressBar

from aelab.cluster import ranks
from aelab.cluster.rendezvous import Meeting
from aelab.config.identity import fingerprint
from aelab.core.signals import Signals, Terminated
from aelab.data.module import DataModule
from aelab.loggers import Tracker
from aelab.loggers.jsonl import JsonLines
from aelab.runs.build import Parts, make, make_trainer
from aelab.runs.folder import RunFolder, Status
from aelab.runs.report import report
from aelab.training.callbacks.pictures import Pictures
from aelab.training.callbacks.progress import progress
from aelab.training.callbacks.resume import Best, ResumePoints
from aelab.training.callbacks.study import Pruned
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load
from aelab.training.sharding import load_whole

# Set for the processes that Lightning starts beside the first one: the run that they take part in, where it
# continues, and whether a study may end it.
RUN, CHECKPOINT, PRUNES = "AELAB_RUN", "AELAB_CHECKPOINT", "AELAB_PRUNES"


def fit(
    config: DictConfig,
    parts: Parts,
    folder: RunFolder,
    checkpoint: str | None,
    signals: Signals,
    callbacks: Sequence[Callback] = (),
    meeting: Meeting | None = None,
) -> dict[str, float]:
    """Train from a resume point or from nothing, test the weights that validation chose, and record both.

    meeting: where other processes wait to hear of the run; None: nobody waits.
    """
    trainer = trainer_of(config, folder, folder.read()["run_id"], signals, more=callbacks)
    advice = f"continue with resume={folder.path}"
    with status_of(folder, trainer, advice), _announced(folder, checkpoint, meeting), timed(folder, trainer):
        show_settings(trainer, config)
        trainer.fit(parts.training, datamodule=parts.data, ckpt_path=checkpoint)
        metrics = test(trainer, parts, folder, samples_seen(trainer, parts.data))
    if trainer.is_global_zero:
        report_run(trainer, folder)
    return metrics


def show_settings(trainer: Trainer, config: DictConfig) -> None:
    """Hand the configuration to the trackers."""
    settings: Any = OmegaConf.to_container(config)
    for logger in trainer.loggers:
        logger.log_hyperparams(settings)


def test(trainer: Trainer, parts: Parts, folder: RunFolder, seen: int) -> dict[str, float]:
    """Measure the weights that validation chose on the test split, and record what is found.

    seen: training images that were shown.
    """
    best = getattr(trainer.checkpoint_callback, "best_model_path", None)
    if best:
        load_whole(parts.training, load(Path(best))["state_dict"])
    trainer.test(parts.training, datamodule=parts.data, verbose=False)
    metrics = {k: v.item() for k, v in trainer.callback_metrics.items() if k.startswith("test/")}
    if trainer.is_global_zero:
        known = parts.training.quantities
        facts = {name: known[name].per("image").facts() for name in metrics if name in known}
        folder.update(metrics=metrics, quantities=facts, steps=trainer.global_step, samples_seen=seen)
    return metrics


def report_run(trainer: Trainer, folder: RunFolder) -> None:
    """Print the run's table and what its trackers suggest."""
    report(folder, [hint for tracker in _trackers(trainer) if (hint := tracker.hint())])


def trainer_of(
    config: DictConfig,
    folder: RunFolder,
    run_id: str,
    signals: Signals,
    bar: Callback | None = None,
    more: Sequence[Callback] = (),
) -> Trainer:
    """The Trainer with its loggers and callbacks; nothing is written before it trains.

    bar: what shows progress; None: what suits the terminal. more: callbacks beside the configuration's.
    """
    identity = {"folder": folder.path, "name": config.name, "run_id": run_id}
    journal = JsonLines(**identity)
    trackers = [make(node)(**identity) for node in (config.get("logger") or {}).values()]
    bar = bar or progress(sys.stdout.isatty())
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
        plugins=[AtomicCheckpointIO(), ranks.cluster()],
        default_root_dir=folder.path,
        enable_progress_bar=isinstance(bar, ProgressBar),
    )


def _trackers(trainer: Trainer) -> list[Tracker[Any]]:
    return [logger for logger in trainer.loggers if isinstance(logger, Tracker)]


@contextmanager
def _announced(folder: RunFolder, checkpoint: str | None, meeting: Meeting | None) -> Iterator[None]:
    """Tell the processes that wait, and those that Lightning starts from here, which run they belong to."""
    if meeting is not None:
        meeting.tell(run=str(folder.path), checkpoint=checkpoint)
    before = {name: os.environ.get(name) for name in (RUN, CHECKPOINT, *ranks.VARIABLES)}
    os.environ[RUN] = str(folder.path)
    if checkpoint is not None:
        os.environ[CHECKPOINT] = checkpoint
    try:
        yield
    finally:
        for name, value in before.items():  # Lightning leaves its own there, by which a next run would wait
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


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
                if status is Status.FINISHED and folder.best.exists():
                    tracker.keep_model([folder.config, folder.record, folder.best])
                tracker.finish(code)


@contextmanager
def timed(folder: RunFolder, trainer: Trainer) -> Iterator[None]:
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
    # A process without a share of a validation measures nothing, and its sums are zero.
    warnings.filterwarnings("ignore", "The ``compute`` method of metric", module="torchmetrics.*")
