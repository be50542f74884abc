"""Training of the prior alone, to the codes of a model that stays as it is: a second stage."""

import sys
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from aelab.core.errors import ConfigurationError
from aelab.core.records import Batch
from aelab.models.priors import Fitted, Prior
from aelab.training.standard import Standard

BLOCK = 500  # observations that are encoded at once


class SecondStage(Standard):
    """By gradient, as `Standard`; or, of a prior that is `Fitted`, by one of its own steps an epoch.

        x ──frozen encoder, posterior──▶ z ──┬── cost ──▶ backward, step             each batch
                                             └── prior.gather ─▶ ... ─▶ prior.refit  each epoch

    Raises ConfigurationError where anything but a prior is trained, or inference reads the prior.
    """

    of_same_data = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.model.prior is None:
            raise ConfigurationError("a second stage is a prior of codes: choose another prior than none")
        if not self.model.separable:
            raise ConfigurationError(
                "with this structure inference reads the prior, and a second stage would change the codes "
                "that it is fitted to: start from a run of structure=plain"
            )
        self.prior: Prior = self.model.prior
        if isinstance(self.prior, Fitted):
            self.accumulate = sys.maxsize

    @torch.no_grad()
    def begin(self, examples: Callable[[int], Batch], processes: int) -> None:
        if trained := [n for n, p in self.model.named_parameters() if p.requires_grad and n[:6] != "prior."]:
            raise ConfigurationError(
                f"a second stage trains a prior of codes that stay as they are, and {trained[0]} is trained "
                "too: give start.run=FOLDER with start.frozen=${start.parts}"
            )
        if isinstance(self.prior, Fitted) and processes > 1:
            raise ConfigurationError(
                f"{type(self.prior).__name__} is fitted by one process, and these are {processes}: choose "
                "trainer.devices=1"
            )
        if type(self.prior).begin is not Prior.begin:
            self.prior.begin(self._codes(examples(self.prior.codes_at_start)))

    def _codes(self, batch: Batch) -> Tensor:
        parts = (batch.map(itemgetter(slice(at, at + BLOCK))) for at in range(0, len(batch.x), BLOCK))
        codes = (self.model.posterior_of(part.x, self.model.context(part)) for part in parts)
        return torch.cat([q.sample() for q in codes])

    def make_optimizers(self) -> dict[str, Optimizer]:
        return {"model": Refit(self.prior)} if isinstance(self.prior, Fitted) else super().make_optimizers()

    def compile_step(self, batch: Batch) -> None:
        if isinstance(self.prior, Fitted):
            self.eager = f"{type(self.prior).__name__} is fitted by steps of its own, without gradients"
        else:
            super().compile_step(batch)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        if not isinstance(self.prior, Fitted):
            super().training_step(batch, batch_idx)
            return
        self.seed_step(batch_idx)
        step = self.global_step
        with torch.no_grad():
            trace = self.model(batch, self.objective.samples, step)
            values, loss = self.costs(trace)
            self.prior.gather(trace.z.flatten(0, 1))
        if self.steps_now(batch_idx):
            self.step_optimizer(trace)
        self.record({**values, "loss": loss}, step + 1, len(batch.x))


class Refit(Optimizer):
    """An optimiser whose step is a prior's own."""

    def __init__(self, prior: Fitted) -> None:
        super().__init__(prior.parameters(), {"lr": 1.0, "initial_lr": 1.0})
        self.prior = prior

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.prior.refit()
