"""What every training procedure shares: seeding, stepping, logging, and evaluation by the estimands."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MetricCollection

from aelab.core.errors import ConfigurationError, NonFiniteError
from aelab.core.quantity import Quantity
from aelab.core.records import Batch
from aelab.core.schedules import OfTraining, Schedule
from aelab.core.seeds import seed_generators, step_seed
from aelab.metrics.estimands import estimands, quantities
from aelab.models import Autoencoder
from aelab.objectives.base import Objective
from aelab.training.loop import lean_loop
from aelab.training.sharding import Sharded, apart, average_whole, gather, local, scatter, shard
from aelab.training.window import Window


def epoch_of(trainer: Trainer) -> int:
    """The epoch under way, from 0; unlike `trainer.current_epoch` also right after a resume."""
    return trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]


class Training(LightningModule):
    """The base of the training procedures; subclasses say what a training step does.

    Optimisation is manual, so that procedures with several optimisers share it and a step costs little:
    accumulation and clipping are options here, not of the Trainer.

    optimizer: from parameters to a torch optimiser.
    lr_schedule: a schedule that multiplies the learning rate, completed with the number of `steps`, or None.
    accumulate_grad_batches: batches for each optimisation step.
    gradient_clip_val: the largest norm of the gradient, or None.
    compile: whether encoder and decoder go through torch.compile.
    """

    def __init__(
        self,
        model: Autoencoder,
        objective: Objective,
        optimizer: Callable[..., Optimizer],
        lr_schedule: Callable[..., Schedule] | None,
        seed: int = 0,
        accumulate_grad_batches: int = 1,
        gradient_clip_val: float | None = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        if accumulate_grad_batches < 1:
            raise ConfigurationError(
                f"training.accumulate_grad_batches={accumulate_grad_batches}: at least 1 batch for each step"
            )
        self.automatic_optimization = False
        self.model, self.objective = model, objective
        self.make_optimizer, self.make_lr_schedule = optimizer, lr_schedule
        self.lr_schedule: Schedule | None = None
        self.seed, self.accumulate, self.clip = seed, accumulate_grad_batches, gradient_clip_val
        self.window = Window()
        self.averages: list[Tensor] = []  # what steps move beside the weights
        self.measures: Mapping[str, MetricCollection] = nn.ModuleDict(  # type: ignore[assignment]
            {"val": estimands(model.latent), "test": estimands(model.latent)}
        )
        self.quantities: dict[str, Quantity] = {}  # what was measured, by the name that loggers know it by
        if compile and model.follows_gradient:
            raise ConfigurationError(
                "training.compile=true cannot differentiate twice, as structure=hamiltonian does: drop it"
            )
        if compile:
            for part in filter(None, (model.encoder, model.decoder)):
                part.compile()

    def configure_model(self) -> None:
        if self.is_sharded:
            shard(self.model, self.device_mesh["data_parallel"])  # type: ignore[index]

    @property
    def is_sharded(self) -> bool:
        """Whether each process has a part of the weights only."""
        return isinstance(self.trainer.strategy, Sharded)

    def configure_optimizers(self) -> Optimizer:
        trained = [p for p in self.parameters() if p.requires_grad]
        optimizer = self.make_optimizer([{"params": some} for some in apart(trained)])
        if self.clip and self.trainer.precision == "16-mixed" and optimizer.defaults.get("fused"):
            raise ConfigurationError(
                "training.gradient_clip_val with trainer.precision=16-mixed needs unscaled gradients, which "
                "a fused optimiser does not give: add optimizer.fused=false, or use bf16-mixed"
            )
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
        kept = self.model.state_dict().keys()
        self.averages = [buffer for name, buffer in self.model.named_buffers() if name in kept]
        for schedule in self.schedules_of_training():
            schedule.plan(self.total_steps)
        if self.make_lr_schedule:
            self.lr_schedule = self.make_lr_schedule(steps=self.total_steps)
        return optimizer

    def schedules_of_training(self) -> Iterator[OfTraining]:
        """Those of weights, capacities and temperatures that need to know how long the training is."""
        for module in self.modules():
            yield from (value for value in vars(module).values() if isinstance(value, OfTraining))

    @property
    def total_steps(self) -> int:
        """Optimisation steps of the whole training; ConfigurationError where it has no end."""
        limited, epochs = self.trainer.max_steps, self.trainer.max_epochs
        if epochs in (None, -1):
            if limited < 1:
                raise ConfigurationError(
                    "a schedule needs to know the end of the training: set trainer.max_epochs or max_steps"
                )
            return limited
        _ = self.trainer.estimated_stepping_batches  # this counts the batches of an epoch
        planned = epochs * math.ceil(self.trainer.num_training_batches / self.accumulate)
        return planned if limited < 0 else min(planned, limited)

    def seed_step(self, batch_idx: int) -> None:
        """Make the noise of this batch a function of its position alone."""
        seed = step_seed(self.seed, "train", epoch_of(self.trainer), batch_idx, self.global_rank)
        seed_generators(seed, self.device)

    def in_float32(self) -> AbstractContextManager[Any]:
        """Where mixed precision is off: for densities, which half precision is too coarse for."""
        kind = self.device.type
        return torch.autocast(kind, enabled=False) if torch.is_autocast_enabled(kind) else nullcontext()

    def steps_now(self, batch_idx: int) -> bool:
        """Whether the optimiser steps after this batch."""
        if (batch_idx + 1) % self.accumulate == 0:
            return True
        return self.trainer.fit_loop.epoch_loop.batch_progress.is_last_batch

    def manual_backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        if lean_loop(self.trainer):
            loss.backward(*args, **kwargs)
        else:
            super().manual_backward(loss, *args, **kwargs)

    def step_optimizer(self) -> None:
        wrapped = self.optimizers()
        assert not isinstance(wrapped, list)
        optimizer, loop = wrapped.optimizer, lean_loop(self.trainer)
        if self.is_sharded:
            average_whole(self.parameters())
        if self.lr_schedule:
            factor = self.lr_schedule(self.global_step)
            for group in optimizer.param_groups:
                group["lr"] = factor * group["initial_lr"]
        if loop:
            self.on_before_optimizer_step(optimizer)
            loop.step(optimizer)
        else:
            wrapped.step()
        if self.trainer.world_size > 1:
            self.share_averages()
        for group in optimizer.param_groups:  # what `zero_grad` comes to, at a fifth of its price
            for parameter in group["params"]:
                parameter.grad = None

    def share_averages(self) -> None:
        """Take those of the first process, which checkpoints hold; DDP does so for automatic steps alone."""
        for average in self.averages:
            torch.distributed.broadcast(average, 0)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here, where mixed precision has unscaled the gradients."""
        if self.clip:
            parameters = (p for group in optimizer.param_groups for p in group["params"])
            nn.utils.clip_grad_norm_(parameters, self.clip)

    def record(self, values: Mapping[str, Tensor], step: int, samples: int) -> None:
        """Keep a batch's values; hand the window to the loggers every `log_every_n_steps` batches."""
        self.window.append(values, step, samples)
        if len(self.window) >= self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            self.log_window()

    def log_window(self, epoch: int | None = None) -> None:
        """Log the mean terms since the last time, the weights, the learning rate and the throughput."""
        if not len(self.window):
            return
        reduce = self.trainer.strategy.reduce
        means = self.window.flush(lambda v: reduce(v.to(self.device), reduce_op="mean"))
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        speed = self.window.samples_per_second() * self.trainer.world_size
        self.log_means(means, optimizer.param_groups[0]["lr"], speed, epoch)

    def log_means(
        self, means: Mapping[str, float], rate: float, speed: float, epoch: int | None = None
    ) -> None:
        """Log a window's mean terms with the weights, the learning rate, and samples for each second."""
        self.log_values(
            {
                **{f"train/{name}": value for name, value in means.items()},
                **{f"weight/{k}": w for k, w in self.objective.weights(self.global_step).items()},
                "train/learning_rate": rate,
                "time/samples_per_second": speed,
            },
            epoch,
        )

    def log_values(self, values: Mapping[str, float], epoch: int | None = None) -> None:
        """Hand numbers to every logger at once; `self.log` in each step would cost as much as the step."""
        numbered = {"epoch": epoch_of(self.trainer) if epoch is None else epoch, **values}
        for logger in self.trainer.loggers:
            logger.log_metrics(numbered, step=self.global_step)

    def on_train_epoch_start(self) -> None:
        self.window.start_clock()

    def on_train_epoch_end(self) -> None:
        self.log_window(epoch_of(self.trainer) - 1)  # it counts as done already

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure("val", batch, batch_idx)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._measure("test", batch, batch_idx)

    def on_validation_start(self) -> None:
        self.log_window()
        gather(self.model)

    def on_validation_end(self) -> None:
        scatter(self.model)

    def on_test_start(self) -> None:
        gather(self.model)

    def on_validation_epoch_end(self) -> None:
        self._report("val")
        self.window.start_clock()

    def on_test_epoch_end(self) -> None:
        self._report("test")

    def _measure(self, stage: str, batch: Batch, batch_idx: int) -> None:
        if not len(batch.x):  # a process whose share is used up
            return
        index = batch_idx * self.trainer.world_size + self.global_rank
        seed_generators(step_seed(self.seed, stage, batch=index), self.device)
        trace = self.model(batch, step=self.global_step)
        with self.in_float32():
            self.measures[stage].update(trace)

    def _report(self, stage: str) -> None:
        known = quantities(self.measures[stage])
        measured = {known[name]: value.item() for name, value in self.measures[stage].compute().items()}
        self.measures[stage].reset()
        for quantity, value in measured.items():
            if not math.isfinite(value):
                name = f"{stage}/{quantity.name}"
                raise NonFiniteError(
                    f"{name} is {value} after step {self.global_step}; nothing of it was saved"
                )
        self.log_measured(stage, measured)

    def log_measured(self, stage: str, measured: Mapping[Quantity, float]) -> None:
        """Hand what was measured on a split to Lightning and to every logger, as "stage/name"."""
        values = {f"{stage}/{quantity.name}": value for quantity, value in measured.items()}
        self.quantities |= dict(zip(values, measured, strict=True))
        self.log_dict({k: torch.tensor(v) for k, v in values.items()}, logger=False, sync_dist=True)
        self.log_values(values)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to save what is not finite; keep the terms that were not logged yet."""
        self.window.check()
        if not all(local(p).isfinite().all() for p in self.parameters()):
            raise NonFiniteError(f"a weight is not finite after step {self.global_step}; it was not saved")
        checkpoint["window"] = self.window.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.window.load_state_dict(checkpoint["window"])
