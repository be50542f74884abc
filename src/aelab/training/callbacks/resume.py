"""Resume points: checkpoints from which a killed run continues to the same bits.

A point is written only between two optimisation steps, never after an epoch's last batch nor where a
validation is due: there Lightning would lose that validation, so the point after it is taken instead.
"""

import time
from pathlib import Path
from typing import Any, Protocol

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ModelCheckpoint

from aelab.core.errors import ConfigurationError
from aelab.core.files import remove_scratch
from aelab.core.signals import Signals, Terminated
from aelab.training.checkpoints import resume_points
from aelab.training.measured import epoch_of


class Best(ModelCheckpoint):
    """Keeps the weights that validation likes best, in `folder`, also where a run was moved or copied.

    metric: the validation number that says so; None: the last weights. These are kept too of a training
    without any validation.
    """

    def __init__(self, folder: Path, metric: str | None, mode: str) -> None:
        super().__init__(folder, "best", monitor=metric, mode=mode, enable_version_counter=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lightning forgets the best score when the folder is another one than it was."""
        here = Path(str(self.dirpath))
        paths = {
            key: str(here / Path(value).name)
            for key, value in state_dict.items()
            if key.endswith("_path") and value
        }
        best = {str(here / Path(path).name): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **paths, "best_k_models": best, "dirpath": str(here)})

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        unseen = is_over(trainer) and self._last_global_step_saved != trainer.global_step
        if unseen and (self.monitor is None or not self.best_model_path):
            self.best_model_path = self.format_checkpoint_name({})
            self._save_checkpoint(trainer, self.best_model_path)


class Journal(Protocol):
    """A log that can be cut back to where it stood."""

    def position(self) -> dict[str, Any]: ...

    def truncate(self, position: dict[str, Any]) -> None: ...


class ResumePoints(Checkpoint):
    """Saves a point every `every_seconds`, or every `every_batches` batches, and when a signal asks to stop.

    Several processes save at the next of these moments at which they log.

    fingerprint: of the configuration, kept in every point.
    keep: how many points stay on disk, so that a damaged one leaves another.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        journal: Journal,
        signals: Signals,
        every_seconds: float = 60.0,
        every_batches: int | None = None,
        keep: int = 2,
    ) -> None:
        if keep < 1 or (every_batches is not None and every_batches < 1):
            raise ConfigurationError("resume_points.keep and resume_points.every_batches must be at least 1")
        self.folder, self.fingerprint = folder, fingerprint
        self.journal, self.signals = journal, signals
        self.every_seconds, self.every_batches, self.keep = every_seconds, every_batches, keep
        self.stopping = False
        self.agreed: int | None = None  # the signal by which all processes end
        self.saved_at = time.monotonic()
        self.counted = False  # whether `every_batches` are over
        self.begun = False  # whether all has been restored, where a run is continued

    def state_dict(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "journal": self.journal.position(),
            "stopping": self.stopping,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.stopping = state_dict["stopping"]
        self.journal.truncate(state_dict["journal"])

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = self.stopping
        self.saved_at = time.monotonic()
        if trainer.is_global_zero:
            remove_scratch(self.folder)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.install()
        self.signals.deferred = self.begun = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.signals.deferred = False
        if self.signals.received is not None:  # it came after the last point, and all is saved
            raise Terminated(self.signals.received)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.signals.deferred = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.every_batches and (batch_idx + 1) % self.every_batches == 0:
            self.counted = True
        if _is_between_steps(trainer, pl_module, batch_idx) and self._is_asked(trainer, pl_module):
            self._take(trainer, epoch_of(trainer), batch_idx + 1)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = epoch_of(trainer)
        self.stopping = trainer.should_stop
        if is_over(trainer) or self._agree(trainer, self.counted or self._is_due()):
            self._take(trainer, epoch, 0)

    def _is_asked(self, trainer: Trainer, module: LightningModule) -> bool:
        """Every process must answer alike, so several of them ask the first one, and seldom.

        Of several, only the first one's window is saved: theirs must be empty, as after each logging.
        """
        if trainer.world_size > 1 and len(module.window):  # type: ignore[arg-type]
            return False
        return self.counted or self._agree(trainer, self._is_due())

    def _is_due(self) -> bool:
        return self.signals.received is not None or time.monotonic() - self.saved_at > self.every_seconds

    def _agree(self, trainer: Trainer, wish: bool) -> bool:
        if trainer.world_size == 1:
            return wish
        # Not back into `received`: a signal that comes meanwhile would be forgotten.
        wish, self.agreed = trainer.strategy.broadcast((wish, self.signals.received))
        return wish

    def _take(self, trainer: Trainer, epoch: int, batch: int) -> None:
        trainer.datamodule.position = (epoch, batch)  # type: ignore[attr-defined]
        trainer.save_checkpoint(self.folder / f"resume-{epoch:05d}-{batch:07d}.ckpt")
        self.saved_at, self.counted = time.monotonic(), False
        if trainer.is_global_zero:
            for path in resume_points(self.folder)[self.keep :]:
                path.unlink()
        ending = self.signals.received if trainer.world_size == 1 else self.agreed
        if ending is not None:
            raise Terminated(ending)


def is_over(trainer: Trainer) -> bool:
    """Whether the epoch that ends is the last."""
    ended = epoch_of(trainer) == trainer.max_epochs or trainer.global_step == trainer.max_steps
    return trainer.should_stop or ended


def _is_between_steps(trainer: Trainer, module: LightningModule, batch_idx: int) -> bool:
    done = batch_idx + 1
    due = trainer.val_check_batch
    validates = isinstance(due, int) and done % due == 0
    is_last = trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
    return not (is_last or validates or done % module.accumulate)  # type: ignore[operator]
