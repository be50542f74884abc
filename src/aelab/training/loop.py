"""Lightning's loop over an epoch's batches, without the hooks that nobody in a run overrides.

For each batch Lightning calls a dozen hooks of every callback and of the module, nearly all of them empty: a
third of a small model's step. `EpochLoop` finds out once an epoch who overrides what. Where a run asks for
nothing unusual it repeats what then remains of `_TrainingEpochLoop.advance`; all else is left to Lightning.
"""

from typing import Any

import pytorch_lightning
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.loops.fetchers import _DataFetcher, _PrefetchDataFetcher
from pytorch_lightning.loops.training_epoch_loop import _TrainingEpochLoop
from pytorch_lightning.plugins.precision import MixedPrecision, Precision
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.strategies import SingleDeviceStrategy
from torch.optim import Optimizer

VERSION = "2.6."  # whose loop this one was compared with; with any other all is left to Lightning
CALLED = ("on_train_batch_start", "on_train_batch_end")  # of callbacks; the module's may end an epoch
LEFT_OUT = (
    "on_before_batch_transfer", "on_after_batch_transfer",
    "on_before_backward", "backward", "on_after_backward",
)  # fmt: skip


class EpochLoop(_TrainingEpochLoop):
    """A `_TrainingEpochLoop` that, where it is `lean`, comes to the same bits with fewer calls."""

    lean = False

    @classmethod
    def install(cls, trainer: Trainer) -> Trainer:
        """Put one in the place of the trainer's own, as `Trainer.__init__` does."""
        own = trainer.fit_loop.epoch_loop
        trainer.fit_loop.epoch_loop = cls(trainer, own.min_steps, own.max_steps)
        return trainer

    def on_run_start(self, data_fetcher: _DataFetcher) -> None:
        super().on_run_start(data_fetcher)
        trainer: Any = self.trainer
        owner = trainer._data_connector._datahook_selector.get_instance("transfer_batch_to_device")
        self.move = owner.transfer_batch_to_device
        self.calls = {
            hook: [getattr(c, hook) for c in trainer.callbacks if overrides(c, hook)] for hook in CALLED
        }
        self.lean = isinstance(data_fetcher, _PrefetchDataFetcher) and is_plain(trainer)
        self.unchecked = batches_before_a_check(trainer)
        self.context = trainer.precision_plugin.forward_context
        if self.lean:
            self.manual_optimization.on_run_start()  # also Lightning's wrapper of an optimiser counts steps

    def advance(self, data_fetcher: _DataFetcher) -> None:
        if self.lean and not (self.restarting or self.val_loop.restarting):
            self._advance(data_fetcher)
        else:
            super().advance(data_fetcher)

    def _advance(self, data_fetcher: _DataFetcher) -> None:
        progress, connector, results = self.batch_progress, self.trainer._logger_connector, self._results
        batch, _, _ = next(data_fetcher)
        batch_idx = self.batch_idx + 1
        progress.is_last_batch = data_fetcher.done
        batch = self.move(batch, self.trainer.strategy.root_device, 0)
        progress.increment_ready()
        connector._first_loop_iter = connector._first_loop_iter is None
        results.batch, results.batch_size, results.dataloader_idx = batch, None, None
        self._call("on_train_batch_start", batch, batch_idx)
        progress.increment_started()
        outputs = self._train(batch, batch_idx)
        progress.increment_processed()
        self._call("on_train_batch_end", outputs, batch, batch_idx)
        if results:  # somebody uses `self.log`
            connector.on_batch_end()
        results.batch = results.batch_size = None
        progress.increment_completed()
        if results:
            connector.update_train_step_metrics()

    def on_advance_end(self, data_fetcher: _DataFetcher) -> None:
        stops = self.trainer.should_stop or self.trainer.received_sigterm or self._skip_next_val
        early = self.batch_progress.current.ready < self.unchecked
        if self.lean and not stops and (early or not self._should_check_val_fx(data_fetcher)):
            self._batches_that_stepped += 1
        else:
            super().on_advance_end(data_fetcher)

    def _train(self, batch: Any, batch_idx: int) -> dict[str, Any]:
        module = self.trainer.lightning_module
        before = _enter(module, "training_step")
        with self.context():
            output = module.training_step(batch, batch_idx)
        _enter(module, before)
        return self.manual_optimization.output_result_cls.from_training_step_output(output).asdict()

    def _call(self, hook: str, *args: Any) -> None:
        if calls := self.calls[hook]:
            module = self.trainer.lightning_module
            before = _enter(module, hook)
            for call in calls:
                call(self.trainer, module, *args)
            _enter(module, before)

    def step(self, optimizer: Optimizer) -> None:
        """Step, and count it as Lightning's wrapper would; `global_step` is this count."""
        progress = self.manual_optimization.optim_step_progress
        progress.increment_ready()
        optimizer.step()
        progress.increment_completed()


def lean_loop(trainer: Trainer) -> EpochLoop | None:
    """The trainer's loop where it is lean: there gradients and steps may go past Lightning too."""
    loop = trainer.fit_loop.epoch_loop
    return loop if isinstance(loop, EpochLoop) and loop.lean else None


def batches_before_a_check(trainer: Any) -> int:
    """After fewer batches of an epoch than this no validation can be due."""
    across_epochs = trainer.check_val_every_n_epoch is None
    due = None if across_epochs or trainer._val_check_time_interval is not None else trainer.val_check_batch
    return due if isinstance(due, int) else 0


def limited(count: int, limit: int | float | None) -> int:
    """How many of an epoch's batches Lightning's `limit_train_batches` leaves: a number or a share."""
    if limit is None:
        return count
    return min(count, limit) if isinstance(limit, int) else int(count * limit)


def _enter(module: LightningModule, hook: str | None) -> str | None:
    """Note the hook under way, which `self.log` asks for; the one before."""
    attributes = vars(module)  # assigning to a module looks for parameters, at ten times the price
    before, attributes["_current_fx_name"] = attributes["_current_fx_name"], hook
    return before


def overrides(owner: Any, hook: str) -> bool:
    """Whether a callback, a module or its data has a hook of its own; stricter than Lightning's question."""
    base = next(b for b in (Callback, LightningModule, LightningDataModule) if isinstance(owner, b))
    return getattr(getattr(owner, hook, None), "__func__", None) is not getattr(base, hook, None)


def is_plain(trainer: Any) -> bool:
    """Whether one process trains by unscaled manual optimisation, and nobody overrides what is left out."""
    module, plugin, callbacks = trainer.lightning_module, trainer.precision_plugin, trainer.callbacks
    owners = [module, *callbacks] + [trainer.datamodule] * (trainer.datamodule is not None)
    return (
        pytorch_lightning.__version__.startswith(VERSION)
        and type(trainer.strategy) is SingleDeviceStrategy
        and type(plugin) in (Precision, MixedPrecision)
        and getattr(plugin, "scaler", None) is None
        and type(trainer.profiler) is PassThroughProfiler
        and not module.automatic_optimization
        and not any(overrides(module, hook) for hook in CALLED)
        and not any(overrides(owner, hook) for hook in LEFT_OUT for owner in owners)
        and not any(overrides(callback, "on_before_optimizer_step") for callback in callbacks)
    )
