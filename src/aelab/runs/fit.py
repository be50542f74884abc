"""What surrounds a training: its Trainer, and what is announced, timed, tested and recorded of it."""

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from signal import SIGINT
from typing import Any

from omegaconf import OmegaConf
from pytorch_lightning import Callback, Trainer

from aelab.cluster import ranks
from aelab.cluster.claims import ClaimedError, claimed
from aelab.cluster.rendezvous import Rendezvous
from aelab.config.construct import construct
from aelab.core.errors import NonFiniteError, ResumeError
from aelab.core.quantity import Quantity
from aelab.core.signals import Signals, Terminated
from aelab.data.module import DataModule
from aelab.loggers import trackers
from aelab.loggers.jsonl import JsonLines, rows
from aelab.runs.build import Parts, lightning_part, make_trainer
from aelab.runs.folder import Run, RunFolder, Status
from aelab.runs.report import report
from aelab.training.callbacks.alarms import tell_trackers
from aelab.training.callbacks.codes import Codes
from aelab.training.callbacks.critic_alarms import CriticAlarms
from aelab.training.callbacks.dead_codes import DeadCodes
from aelab.training.callbacks.pictures import Pictures
from aelab.training.callbacks.progress import progress
from aelab.training.callbacks.resume import Best, ResumePoints
from aelab.training.callbacks.study_reporter import Pruned
from aelab.training.checkpoint_io import AtomicCheckpointIO
from aelab.training.checkpoints import load, resume_points
from aelab.training.sharding import load_whole

# Set for the processes that Lightning starts beside the first one: the run that they take part in, where it
# continues, and whether a study may end it.
RUN, CHECKPOINT, PRUNES = "AELAB_RUN", "AELAB_CHECKPOINT", "AELAB_PRUNES"


def show_settings(trainer: Trainer, run: Run) -> None:
    """Hand the configuration to the trackers; what runs are listed by most often has columns of its own."""
    settings: Any = OmegaConf.to_container(run.settings)
    record, data = run.folder.read(), str(run.settings.data.name)
    columns = {"variant": str(run.settings.name).removesuffix(f"_{data}"), "dataset": data}
    columns |= {key: record[key] for key in ("parameters", "flops_per_image") if record.get(key) is not None}
    for logger in trainer.loggers:
        logger.log_hyperparams({**settings, **columns})


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
        facts = {name: known[name].per(parts.data.kind.noun).facts() for name in metrics if name in known}
        folder.update(metrics=metrics, quantities=facts, steps=trainer.global_step, samples_seen=seen)
        for tracker in trackers(trainer.loggers):
            tracker.log_summary(best_of(folder, known))
    return metrics


def best_of(folder: RunFolder, known: Mapping[str, Quantity]) -> dict[str, float]:
    """The best of each validation number that has a better side, over all validations, as `best/NAME`."""
    found: dict[str, float] = {}
    for row in rows(folder.metrics):
        for name in row.keys() & known.keys():
            higher, key = known[name].higher_is_better, f"best/{name.removeprefix('val/')}"
            if higher is not None and name.startswith("val/"):
                found[key] = (max if higher else min)(found.get(key, row[name]), row[name])
    return found


def report_run(trainer: Trainer, folder: RunFolder) -> None:
    """Print the run's table and what its trackers suggest."""
    report(folder, [hint for tracker in trackers(trainer.loggers) if (hint := tracker.hint())])


def trainer_of(
    run: Run,
    run_id: str,
    signals: Signals,
    bar: Callback | None = None,
    more: Sequence[Callback] = (),
) -> Trainer:
    """The Trainer with its loggers and callbacks; nothing is written before it trains.

    run_id: by which trackers know the run. bar: what shows progress; None: what suits the terminal.
    more: callbacks beside the configuration's.
    """
    config, folder = run.settings, run.folder
    identity = {"folder": folder.path, "name": config.name, "run_id": run_id}
    journal = JsonLines(**identity)
    nodes = (config.get("logger") or {}).items()
    views = [construct(node, f"logger.{key}")(**identity) for key, node in nodes]
    bar = bar or progress(sys.stdout.isatty())
    callbacks = [
        bar,
        *more,
        # What looks at a validated model comes before a moving average, which then gives its place back.
        Pictures(folder.pictures, **config.pictures),
        DeadCodes(),
        Codes(),
        CriticAlarms(lambda raised: folder.update(alarms={**raised, **folder.read().get("alarms", {})})),
        *(lightning_part(node, f"callbacks.{key}") for key, node in (config.get("callbacks") or {}).items()),
        Best(folder.checkpoints, **config.monitor),
        ResumePoints(folder.checkpoints, run.fingerprint, journal, signals, **config.resume_points),
    ]
    return make_trainer(
        config,
        logger=[journal, *views],
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), ranks.cluster_environment()],
        default_root_dir=folder.path,
        enable_progress_bar=False,
    )


@contextmanager
def owned(folder: RunFolder) -> Iterator[None]:
    """A context in which the run is this process's alone, also against others that begin at this moment.

    Raises ResumeError where another process has it, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder.path / ".lock"))
        except ClaimedError as error:
            process = folder.read().get("process") or {}
            raise ResumeError(
                f"{folder.path} is being run by another process ({process.get('pid')} on "
                f"{process.get('host')}): wait for it or end it"
            ) from error
        except OSError as error:
            raise ResumeError(
                f"{folder.path} cannot be written ({error.strerror}): continue a copy in a writable folder"
            ) from error
        yield


@contextmanager
def announced(folder: RunFolder, checkpoint: Path | None, rendezvous: Rendezvous | None) -> Iterator[None]:
    """Name the run to the processes that wait for it, and to those that Lightning starts from here."""
    if rendezvous is not None:
        rendezvous.announce(run=str(folder.path), checkpoint=None if checkpoint is None else str(checkpoint))
    before = {name: os.environ.get(name) for name in (RUN, CHECKPOINT, *ranks.VARIABLES)}
    os.environ[RUN] = str(folder.path)
    if checkpoint is not None:
        os.environ[CHECKPOINT] = str(checkpoint)
    try:
        yield
    finally:
        for name, value in before.items():  # Lightning leaves its own there, by which a next run would wait
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def status_of(folder: RunFolder, trainer: Trainer, advice: str | None = None) -> Iterator[None]:
    """Record how the run ended, whatever ended it, and close its trackers with the same verdict.

    advice: for a user who stopped it by a signal; None: to continue it, where that can be.
    """
    status, code, error = Status.FAILED, 1, None
    try:
        yield
        status, code = Status.FINISHED, 0
    except Terminated as signal:
        status, code = Status.KILLED, int(signal.code or 0)
        stopped = "interrupted" if signal.signum == SIGINT else f"stopped by signal {signal.signum}"
        print(f"{stopped}: {advice or _advice(folder)}", file=sys.stderr)
        raise
    except Pruned as reason:
        status, code, error = Status.PRUNED, 0, str(reason)
        raise
    except BaseException as reason:
        error = f"{type(reason).__name__}: {reason}"
        if isinstance(reason, NonFiniteError):
            tell_trackers(trainer, "diverged", str(reason))
        raise
    finally:
        if trainer.is_global_zero:
            with suppress(OSError) if status is not Status.FINISHED else nullcontext():
                folder.end(status, exit_code=code, error=error)
            for tracker in trackers(trainer.loggers):
                if status is Status.FINISHED and folder.best.exists():
                    tracker.keep_model([folder.config, folder.record, folder.best])
                tracker.finish(code)


def _advice(folder: RunFolder) -> str:
    if resume_points(folder.checkpoints):
        return f"continue with resume={folder.path}"
    return "before its first resume point, so that it can only be started anew"


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
    share = -(-len(loader.observations) // loader.world_size)  # the last batch of a whole epoch may be short
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
