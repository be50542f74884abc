"""What every training measures and logs: terms by windows of steps, and estimands at validation and test."""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torchmetrics import MetricCollection

from aelab.core.errors import NonFiniteError
from aelab.core.precision import in_float32
from aelab.core.quantity import Quantity
from aelab.core.records import Batch, Trace
from aelab.core.seeds import seed_generators, step_seed
from aelab.loggers import trackers
from aelab.metrics.estimands import quantities
from aelab.models import Autoencoder
from aelab.objectives.base import Objective
from aelab.training.optimizers import norm
from aelab.training.sharding import gather, local, scatter
from aelab.training.window import Window


def epoch_of(trainer: Trainer) -> int:
    """The epoch under way, from 0; unlike `trainer.current_epoch` also right after a resume."""
    return trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]


class Measured(LightningModule):
    """A model and its objective, measured by the same estimands whatever trains them.

    measures: makes the estimands of one split. seed: of the noise.

    of_samples: what callbacks measure of the model's samples at validation and test.
    """

    of_samples: tuple[Quantity, ...] = ()

    def __init__(
        self, model: Autoencoder, objective: Objective, measures: Callable[[], MetricCollection], seed: int
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self.seed = seed
        self.window = Window()
        self.means: Mapping[str, float] = {}  # of the last window's terms
        self.watched: Mapping[str, float] = {}  # beside the next window's, for trackers alone
        self.measures: Mapping[str, MetricCollection] = nn.ModuleDict(  # type: ignore[assignment]
            {"val": measures(), "test": measures()}
        )
        self.quantities: dict[str, Quantity] = {}  # what was measured, by the name that loggers know it by

    def in_float32(self) -> AbstractContextManager[Any]:
        """Where mixed precision is off on the model's device."""
        return in_float32(self.device)

    def costs(self, trace: Trace) -> tuple[dict[str, Tensor], Tensor]:
        """The objective's terms, unweighted, and the loss of model and terms."""
        with self.in_float32():
            values = self.objective(trace, self.model)
            return values, self.objective.total(values, trace.step, self.model)

    def model_optimizer(self) -> LightningOptimizer:
        """The model's, whose steps Lightning counts."""
        found: Any = self.optimizers()
        return found[0] if isinstance(found, list) else found

    def record(self, values: Mapping[str, Tensor], step: int, samples: int) -> None:
        """Keep a batch's values; hand the window to the loggers every `log_every_n_steps` batches."""
        self.window.append(values, step, samples)
        if len(self.window) >= self.trainer.log_every_n_steps:  # type: ignore[attr-defined]
            self.log_window()

    @torch.no_grad()
    def watch_gradients(self) -> None:
        """Keep the gradient's norm, before any clipping, of the batch that fills a window, for trackers."""
        fills = len(self.window) + 1 >= self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        # Under fp16 gradients are scaled, and no norm that means anything.
        if fills and self.trainer.precision != "16-mixed" and trackers(self.trainer.loggers):
            self.watched = {"train/gradient_norm": float(norm(self.parameters()))}

    def log_window(self, epoch: int | None = None) -> None:
        """Log the mean terms since the last time, the weights, the learning rate and the throughput."""
        if not len(self.window):
            return
        reduce = self.trainer.strategy.reduce
        means = self.means = self.window.flush(lambda v: reduce(v.to(self.device), reduce_op="mean"))
        speed = self.window.samples_per_second() * self.trainer.world_size
        self.log_means(means, self.model_optimizer().param_groups[0]["lr"], speed, epoch)

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
            self.watched,
        )
        self.watched = {}

    def log_values(
        self,
        values: Mapping[str, float],
        epoch: int | None = None,
        watched: Mapping[str, float] | None = None,
    ) -> None:
        """Hand numbers to every logger at once; `self.log` in each step would cost as much as the step.

        watched: what trackers alone are shown beside them, and not the journal.
        """
        numbered = {"epoch": epoch_of(self.trainer) if epoch is None else epoch, **values}
        views = trackers(self.trainer.loggers) if watched else []
        for logger in self.trainer.loggers:
            shown = {**numbered, **watched} if watched and logger in views else numbered
            logger.log_metrics(shown, step=self.global_step)

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
        known, found = quantities(self.measures[stage]), self.measures[stage].compute()
        values = [value.double() for value in found.values()]
        numbers = torch.stack(values).tolist() if values else []  # read back at once
        measured = {known[name]: value for name, value in zip(found, numbers, strict=True)}
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
        if not torch.stack([local(p).isfinite().all() for p in self.parameters()]).all():
            raise NonFiniteError(f"a weight is not finite after step {self.global_step}; it was not saved")
        checkpoint["window"] = self.window.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.window.load_state_dict(checkpoint["window"])
